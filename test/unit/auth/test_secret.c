/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: filled into text, encrypted at rest, bound to their place; and the CA's files. */
#include "auth/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/ca.h"
#include "t.h"

static char dir[64];
static uv_loop_t loop;
static struct store *store;
static struct secrets *secrets;
static struct error err;

static void begin(bool fresh)
{
    if (fresh) {
        strcpy(dir, "/tmp/corral-test-XXXXXX");
        T_TRUE(t_mkdtemp(dir));
    }
    T_EQ(uv_loop_init(&loop), 0);
    T_EQ(store_open(&store, &loop, dir, NULL, STORE_MAP_SIZE, &err), 0);
    T_EQ(secrets_open(&secrets, store, dir, &err), 0);
}

static void end(void)
{
    secrets_free(secrets);
    store_close(store, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(uv_loop_close(&loop), 0);
}

static void filled(const char *account, const char *text, const char *want)
{
    struct buf out = {0};
    int rv = secret_fill(secrets, account, text, &out, &err);
    if (want == NULL) {
        T_TRUE(rv < 0);
        T_EQ(out.len, 0);
    } else {
        T_EQ(rv, 0);
        T_STR(buf_cstr(&out), want);
    }
    secret_wipe(&out);
}

static void fills_in_what_was_set(void)
{
    begin(true);
    T_EQ(secret_set(secrets, "a", "KEY", "v1", &err), 0);
    T_EQ(secret_set(secrets, "b", "KEY", "other", &err), 0);
    T_EQ(store_commit(store), 0);
    end();
    begin(false);
    filled("a", "Bearer ${secret:KEY}", "Bearer v1");
    filled("a", "${secret:KEY}${secret:KEY}", "v1v1");
    filled("b", "${secret:KEY}", "other");
    filled("a", "${secret:}${secret:KEY $ ${x}", "${secret:}${secret:KEY $ ${x}");
    filled("a", "x${secret:NONE}", NULL);
    T_EQ(err.code, ERROR_SECRET_NOT_FOUND);
    filled("c", "${secret:KEY}", NULL);
    T_TRUE(secret_is_in("Bearer ${secret:KEY}", "KEY"));
    T_TRUE(!secret_is_in("Bearer ${secret:KEY2}", "KEY"));
    end();
}

static void a_value_in_another_place_is_refused(void)
{
    struct buf b = {0};
    begin(true);
    T_EQ(secret_set(secrets, "a", "KEY", "v1", &err), 0);
    T_EQ(store_commit(store), 0);
    T_EQ(store_get(store, STORE_SECRETS, "a\0KEY", 5, &b), 0);
    T_TRUE(memmem(b.data, b.len, "v1", 2) == NULL);
    T_EQ(store_put(store, STORE_SECRETS, "b\0KEY", 5, b.data, b.len), 0);
    T_EQ(store_commit(store), 0);
    filled("a", "${secret:KEY}", "v1");
    filled("b", "${secret:KEY}", NULL);
    b.data[b.len - 1] ^= 1;
    T_EQ(store_put(store, STORE_SECRETS, "a\0KEY", 5, b.data, b.len), 0);
    T_EQ(store_commit(store), 0);
    filled("a", "${secret:KEY}", NULL);
    buf_done(&b);
    end();
}

static void refuses_what_no_header_can_hold(void)
{
    static char longest[SECRET_MAX_VALUE + 2];
    begin(true);
    memset(longest, 'x', SECRET_MAX_VALUE + 1);
    T_TRUE(secret_set(secrets, "a", "KEY", longest, &err) < 0);
    T_TRUE(secret_set(secrets, "a", "KEY", "", &err) < 0);
    T_TRUE(secret_set(secrets, "a", "KEY", "a\nb", &err) < 0);
    T_TRUE(secret_set(secrets, "a", "K Y", "v", &err) < 0);
    longest[SECRET_MAX_VALUE] = '\0';
    T_EQ(secret_set(secrets, "a", "KEY", longest, &err), 0);
    end();
}

static void the_ca_is_made_once(void)
{
    struct ca first, second;
    struct stat st;
    char path[96];
    strcpy(dir, "/tmp/corral-test-XXXXXX");
    T_TRUE(t_mkdtemp(dir));
    T_EQ(ca_load(&first, dir, &err), 0);
    T_EQ(ca_load(&second, dir, &err), 0);
    T_STR(first.cert, second.cert);
    T_STR(first.key, second.key);
    (void)snprintf(path, sizeof(path), "%s/egress-ca.key", dir);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 0777, 0600);
    ca_done(&first);
    T_EQ(unlink(path), 0);
    ca_done(&second);
    T_EQ(ca_load(&second, dir, &err), -ENOENT);
}

T_MAIN(T_CASE(fills_in_what_was_set), T_CASE(a_value_in_another_place_is_refused),
       T_CASE(refuses_what_no_header_can_hold), T_CASE(the_ca_is_made_once))
