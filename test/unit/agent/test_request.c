/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/request.h"

#include <errno.h>

#include "agent/account.h"
#include "agent/env.h"
#include "t.h"

static int parse(struct buf *b, struct request *r, const char **why)
{
    struct wire_reader reader = {0};
    struct wire_frame f;
    *why = NULL;
    T_EQ(wire_reader_feed(&reader, b->data, b->len), 0);
    T_EQ(wire_reader_next(&reader, &f), 1);
    int rv = request_parse(&f, r, why);
    r->entropy = (struct span){0};
    wire_reader_done(&reader);
    buf_done(b);
    return rv;
}

static void put_path(struct buf *b, enum wire_type type, const char *path, size_t len)
{
    size_t start = wire_begin(b, type);
    wire_put_span(b, path, len);
    wire_end(b, start);
}

static void takes_paths_of_4095_bytes(void)
{
    static char path[4097];
    struct buf b = {0};
    struct request r;
    const char *why;
    memset(path, 'p', sizeof(path));
    put_path(&b, WIRE_LIST, path, 4095);
    T_EQ(parse(&b, &r, &why), 0);
    T_EQ(strlen(r.path), 4095);
    request_done(&r);
    put_path(&b, WIRE_LIST, path, 4096);
    T_EQ(parse(&b, &r, &why), -EINVAL);
    T_TRUE(why != NULL);
}

static void refuses_paths_that_cannot_be(void)
{
    struct buf b = {0};
    struct request r;
    const char *why;
    put_path(&b, WIRE_STAT_PATH, "", 0);
    T_EQ(parse(&b, &r, &why), -EINVAL);
    put_path(&b, WIRE_STAT_PATH, "a\0b", 3);
    T_EQ(parse(&b, &r, &why), -EINVAL);
}

static void put_exec_frame(struct buf *b)
{
    const char *const argv[] = {"a", "b", NULL}, *const env[] = {"K=V", NULL};
    size_t start = wire_begin(b, WIRE_EXEC);
    buf_u32(b, WIRE_EXEC_STDIN);
    buf_u32(b, 5);
    wire_put_str(b, "/tmp");
    wire_put_str(b, "user");
    wire_put_list(b, argv);
    wire_put_list(b, env);
    wire_end(b, start);
}

/* Every payload that is cut short, and one that is too long, is a protocol error. */
static void fields_fill_the_payload(void)
{
    struct buf whole = {0};
    put_exec_frame(&whole);
    size_t len = whole.len - WIRE_HEADER_SIZE;
    for (size_t i = 0; i <= len + 1; i++) {
        uint8_t *payload = calloc(1, i + 1);
        memcpy(payload, whole.data + WIRE_HEADER_SIZE, MIN(i, len));
        struct wire_frame f = {.type = WIRE_EXEC, .payload = payload, .len = i};
        struct request r;
        const char *why = NULL;
        T_EQ(request_parse(&f, &r, &why), i == len ? 0 : -EPROTO);
        if (i == len) {
            T_STR(r.cwd, "/tmp");
            T_STR(r.argv[1], "b");
            T_STR(r.env[0], "K=V");
        }
        request_done(&r);
        free(payload);
    }
    buf_done(&whole);
}

static void knows_its_types(void)
{
    struct buf b = {0};
    struct request r;
    const char *why;
    wire_put_frame(&b, WIRE_OK, NULL, 0);
    T_EQ(parse(&b, &r, &why), -EPROTO);
    wire_put_frame(&b, WIRE_PING, "x", 1);
    T_EQ(parse(&b, &r, &why), -EPROTO);
    wire_put_frame(&b, WIRE_PORT, "\0\0", 2);
    T_EQ(parse(&b, &r, &why), -EINVAL);
}

static void later_variables_win(void)
{
    struct account a = {.name = "u", .home = "/h", .shell = "/bin/sh"};
    char *configured[] = {"A=1", "HOME=/c", "A=2", NULL},
         *requested[] = {"B=", "A=3", "AA=4", NULL};
    char **env = env_merge(&a, configured, requested);
    T_STR(env_get(env, "A"), "3");
    T_STR(env_get(env, "AA"), "4");
    T_STR(env_get(env, "B"), "");
    T_STR(env_get(env, "HOME"), "/c");
    T_STR(env_get(env, "USER"), "u");
    T_STR(env_get(env, "PATH"), "/h/.local/bin:" ENV_PATH);
    T_TRUE(env_get(env, "TERM") == NULL);
    size_t n = 0;
    while (env[n] != NULL)
        n++;
    T_EQ(n, 9); /* six of every login, three added */
    free(env);
}

static void finds_accounts(void)
{
    struct account a;
    T_EQ(account_find("root", &a), 0);
    T_EQ(a.uid, 0);
    T_TRUE(a.home[0] == '/' && a.group_count >= 1);
    T_EQ(account_find("no-such-user", &a), -ENOENT);
    account_self(&a);
    T_EQ(a.uid, geteuid());
}

T_MAIN(T_CASE(takes_paths_of_4095_bytes), T_CASE(refuses_paths_that_cannot_be),
       T_CASE(fields_fill_the_payload), T_CASE(knows_its_types), T_CASE(later_variables_win),
       T_CASE(finds_accounts))
