/* SPDX-License-Identifier: Apache-2.0 */
/* Transforms of clients: read, printed with their references, and sent with secrets filled in. */
#include <string.h>

#include "egress/frame.h"
#include "network/packet.h"
#include "t.h"

static uv_loop_t loop;
static struct store *store;
static struct secrets *secrets;
static struct network_policy policy;
static struct frame_policy told;
static struct error err;

static void begin(const char *text)
{
    char dir[] = "/tmp/corral-test-XXXXXX";
    T_TRUE(t_mkdtemp(dir));
    T_EQ(uv_loop_init(&loop), 0);
    T_EQ(store_open(&store, &loop, dir, NULL, STORE_MAP_SIZE, &err), 0);
    T_EQ(secrets_open(&secrets, store, dir, &err), 0);
    T_EQ(network_policy_parse(text, &policy, &err), 0);
}

static void end(void)
{
    network_policy_done(&policy);
    secrets_free(secrets);
    store_close(store, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(uv_loop_close(&loop), 0);
}

static void put(const char *account, const char *name, const char *value)
{
    T_EQ(secret_set(secrets, account, name, value, &err), 0);
    T_EQ(store_commit(store), 0);
}

/* What corral-egress reads. */
static void tell(const char *account)
{
    struct buf b = {0};
    struct cursor c;
    uint16_t type = 0;
    packet_put_policy(&b, "id", &policy, EGRESS_PUBLIC, secrets, account);
    T_TRUE(!b.failed);
    T_EQ(frame_type((struct span){(const char *)b.data, b.len}, &type, &c), 0);
    T_EQ(type, EGRESS_POLICY);
    T_EQ(frame_policy_read(&c, &told), 0);
    secret_wipe(&b);
}

static void printed(const char *want)
{
    struct buf out = {0};
    struct jsonw w = {.out = &out};
    network_transforms_print(&w, &policy.transforms);
    T_STR(buf_cstr(&out), want);
    buf_done(&out);
}

static void secrets_are_filled_in_for_their_account(void)
{
    begin("{\"transforms\":[{\"host\":\"a.b:8443\",\"methods\":[\"GET\"],\"paths\":[\"/v1/*\"],"
          "\"headers\":{\"authorization\":\"Bearer ${secret:KEY}\",\"x\":\"y\",\"z\":\"\"}}]}");
    put("ours", "KEY", "value");
    T_EQ(network_transforms_check(&policy.transforms, secrets, "ours", &err), 0);
    tell("ours");
    T_EQ(told.n_transforms, 1);
    T_STR(told.transforms[0].host, "a.b:8443");
    T_STR(told.transforms[0].methods[0], "GET");
    T_STR(told.transforms[0].paths[0], "/v1/*");
    T_STR(told.transforms[0].headers[0], "authorization");
    T_STR(told.transforms[0].headers[1], "Bearer value");
    T_STR(told.transforms[0].headers[3], "y");
    T_STR(told.transforms[0].headers[5], "");
    T_TRUE(told.transforms[0].headers[6] == NULL);
    frame_policy_done(&told);
    printed("[{\"host\":\"a.b:8443\",\"methods\":[\"GET\"],\"paths\":[\"/v1/*\"],\"headers\":"
            "{\"authorization\":\"Bearer ${secret:KEY}\",\"x\":\"y\",\"z\":\"\"}}]");
    T_TRUE(network_transforms_use(&policy.transforms, "KEY"));
    T_TRUE(!network_transforms_use(&policy.transforms, "KE"));
    end();
}

static void a_missing_secret_leaves_the_field_empty(void)
{
    begin("{\"transforms\":[{\"host\":\"a.b\",\"headers\":{\"k\":\"x ${secret:KEY} y\"}}]}");
    put("others", "KEY", "theirs");
    T_TRUE(network_transforms_check(&policy.transforms, secrets, "ours", &err) < 0);
    T_EQ(err.code, ERROR_SECRET_NOT_FOUND);
    tell("ours");
    T_STR(told.transforms[0].headers[1], "");
    frame_policy_done(&told);
    end();
}

static void a_value_that_grew_too_long_is_left_out(void)
{
    static char longest[SECRET_MAX_VALUE + 1];
    begin("{\"transforms\":[{\"host\":\"a.b\",\"headers\":{\"k\":\"${secret:L}${secret:L}-\","
          "\"l\":\"kept\"}}]}");
    memset(longest, 'x', SECRET_MAX_VALUE);
    put("ours", "L", "short");
    T_EQ(network_transforms_check(&policy.transforms, secrets, "ours", &err), 0);
    put("ours", "L", longest);
    T_TRUE(network_transforms_check(&policy.transforms, secrets, "ours", &err) < 0);
    tell("ours");
    T_STR(told.transforms[0].headers[1], "");
    T_STR(told.transforms[0].headers[3], "kept");
    frame_policy_done(&told);
    end();
}

static void no_policy_grows_over_a_packet(void)
{
    struct buf text = {0};
    (void)buf_append_str(&text, "{\"transforms\":[");
    for (int i = 0; i < 32; i++)
        (void)buf_printf(&text, "%s{\"host\":\"a.b\",\"headers\":{\"k\":\"${secret:L}\"}}",
                         i > 0 ? "," : "");
    (void)buf_append_str(&text, "]}");
    T_TRUE(network_policy_parse(buf_cstr(&text), &policy, &err) < 0);
    T_EQ(err.code, ERROR_INVALID_ARGUMENT);
    buf_done(&text);
}

static void faults_never_show_a_value(void)
{
    static const char *const texts[] = {
        "{\"transforms\":[{\"host\":\"a.b\",\"headers\":{\"k\":\"hidden\\n\"}}]}",
        "{\"transforms\":[{\"host\":\"a.b\",\"headers\":{\"host\":\"hidden\"}}]}",
        "{\"transforms\":[{\"host\":\"a.b\",\"headers\":{\"k\":[\"hidden\"]}}]}",
        "{\"transforms\":[{\"host\":\"1.2.3.4\",\"headers\":{\"k\":\"hidden\"}}]}",
        "{\"transforms\":[{\"host\":\"a.b\",\"headers\":\"hidden\"}]}",
        "{\"transforms\":[{\"host\":\"a.b\",\"paths\":[1],\"headers\":{\"k\":\"hidden\"}}]}",
        "{\"transforms\":[\"hidden\"]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        T_TRUE(network_policy_parse(texts[i], &policy, &err) < 0);
        T_EQ(err.code, ERROR_INVALID_ARGUMENT);
        T_TRUE(strstr(err.message, "hidden") == NULL);
    }
}

T_MAIN(T_CASE(secrets_are_filled_in_for_their_account),
       T_CASE(a_missing_secret_leaves_the_field_empty),
       T_CASE(a_value_that_grew_too_long_is_left_out), T_CASE(no_policy_grows_over_a_packet),
       T_CASE(faults_never_show_a_value))
