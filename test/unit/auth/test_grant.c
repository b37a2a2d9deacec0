/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/grant.h"

#include "t.h"

static char dir[] = "/tmp/corral-test-XXXXXX";
static uv_loop_t loop;

/* The key of the state, read by a new server. */
static struct grant_key read_key(void)
{
    struct store *store;
    struct grant_key s;
    struct error err;
    T_EQ(uv_loop_init(&loop), 0);
    if (store_open(&store, &loop, dir, NULL, STORE_MAP_SIZE, &err) < 0)
        T_FAIL("store_open: %s", err.message);
    T_EQ(grant_key_load(&s, store), 0);
    T_EQ(store_commit(store), 0);
    store_close(store, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(uv_loop_close(&loop), 0);
    return s;
}

static void lasts(void)
{
    T_TRUE(mkdtemp(dir) != NULL);
    const struct grant_key first = read_key(), second = read_key();
    T_MEM(first.bytes, GRANT_KEY_SIZE, second.bytes, GRANT_KEY_SIZE);
}

static void tokens(void)
{
    const struct grant_key s = {{1}}, other = {{2}};
    char token[GRANT_TOKEN_SIZE];
    grant_token(&s, "envd", "a", token);
    T_EQ(strlen(token), GRANT_TOKEN_SIZE - 1);
    T_TRUE(grant_check(&s, "envd", "a", token));
    T_TRUE(!grant_check(&s, "envd", "b", token));
    T_TRUE(!grant_check(&s, "traffic", "a", token));
    T_TRUE(!grant_check(&other, "envd", "a", token));
    T_TRUE(!grant_check(&s, "envd", "a", ""));
    token[63] ^= 1;
    T_TRUE(!grant_check(&s, "envd", "a", token));
}

T_MAIN(T_CASE(lasts), T_CASE(tokens))
