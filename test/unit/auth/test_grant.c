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
    T_TRUE(t_mkdtemp(dir));
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

static bool passes(const struct grant_key *s, const char *subject, const char *text, int64_t now_s)
{
    int64_t end_s = 0;
    bool ok = grant_pass_check(s, "port", subject, text, strlen(text), now_s, &end_s);
    T_EQ(end_s, ok ? 1000 : 0);
    return ok;
}

static void passes_end(void)
{
    const struct grant_key s = {{1}}, other = {{2}};
    char pass[GRANT_PASS_SIZE], longer[GRANT_PASS_SIZE], token[GRANT_TOKEN_SIZE];
    grant_pass(&s, "port", "a-80", 1000, pass);
    T_TRUE(passes(&s, "a-80", pass, 0));
    T_TRUE(passes(&s, "a-80", pass, 999));
    T_TRUE(!passes(&s, "a-80", pass, 1000));
    T_TRUE(!passes(&s, "a-81", pass, 0));
    T_TRUE(!passes(&other, "a-80", pass, 0));
    (void)snprintf(longer, sizeof(longer), "2000%s", strchr(pass, '.'));
    T_TRUE(!passes(&s, "a-80", longer, 0));
    grant_token(&s, "port", "a-80", token);
    T_TRUE(!passes(&s, "a-80", token, 0));
    for (size_t len = 0; len < strlen(pass); len++) {
        memcpy(longer, pass, len);
        longer[len] = '\0';
        T_TRUE(!passes(&s, "a-80", longer, 0));
    }
    T_TRUE(!passes(&s, "a-80", "99999999999999999999.0", 0));
    T_TRUE(!passes(&s, "a-80", "-1.0", 0));
}

T_MAIN(T_CASE(lasts), T_CASE(tokens), T_CASE(passes_end))
