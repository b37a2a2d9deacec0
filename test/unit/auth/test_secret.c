/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/secret.h"

#include "t.h"

static char dir[] = "/tmp/corral-test-XXXXXX";
static uv_loop_t loop;

/* The secret of the state, read by a new server. */
static struct secret read_secret(void)
{
    struct store *store;
    struct secret s;
    struct error err;
    T_EQ(uv_loop_init(&loop), 0);
    if (store_open(&store, &loop, dir, STORE_MAP_SIZE, &err) < 0)
        T_FAIL("store_open: %s", err.message);
    T_EQ(secret_load(&s, store), 0);
    T_EQ(store_commit(store), 0);
    store_close(store, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(uv_loop_close(&loop), 0);
    return s;
}

static void lasts(void)
{
    T_TRUE(mkdtemp(dir) != NULL);
    const struct secret first = read_secret(), second = read_secret();
    T_MEM(first.bytes, SECRET_SIZE, second.bytes, SECRET_SIZE);
}

static void tokens(void)
{
    const struct secret s = {{1}}, other = {{2}};
    char token[SECRET_TOKEN_SIZE];
    secret_token(&s, "envd", "a", token);
    T_EQ(strlen(token), SECRET_TOKEN_SIZE - 1);
    T_TRUE(secret_check(&s, "envd", "a", token));
    T_TRUE(!secret_check(&s, "envd", "b", token));
    T_TRUE(!secret_check(&s, "traffic", "a", token));
    T_TRUE(!secret_check(&other, "envd", "a", token));
    T_TRUE(!secret_check(&s, "envd", "a", ""));
    token[63] ^= 1;
    T_TRUE(!secret_check(&s, "envd", "a", token));
}

T_MAIN(T_CASE(lasts), T_CASE(tokens))
