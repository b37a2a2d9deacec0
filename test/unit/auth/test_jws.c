/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/jws.h"
#include "t.h"

static struct jws_key key, other;

static struct jws_claims some_claims(void)
{
    return (struct jws_claims){.subject = "ann",
                               .account = "team",
                               .role = ROLE_DEVELOPER,
                               .id = "0123456789abcdef.x",
                               .issued = 1000,
                               .not_before = 1000,
                               .expiry = 4600};
}

static char *sign(const struct jws_key *k)
{
    struct jws_claims claims = some_claims();
    char *token = NULL;
    T_EQ(jws_sign(k, &claims, &token), 0);
    return token;
}

static void a_token_says_what_was_signed(void)
{
    struct jws_claims c;
    cleanup_free char *token = sign(&key);
    T_EQ(jws_verify(&key, token, strlen(token), &c), 0);
    T_STR(c.subject, "ann");
    T_STR(c.account, "team");
    T_EQ(c.role, ROLE_DEVELOPER);
    T_STR(c.id, "0123456789abcdef.x");
    T_EQ(c.expiry, 4600);
    T_STR(c.kid, key.id);
    T_EQ(jws_read(token, strlen(token), &c), 0);
    T_STR(c.kid, key.id);
}

static void another_key_is_refused(void)
{
    struct jws_claims c;
    cleanup_free char *token = sign(&key);
    T_TRUE(jws_verify(&other, token, strlen(token), &c) < 0);
}

/* Whatever character is changed, and wherever it is cut. */
static void every_change_is_refused(void)
{
    struct jws_claims c;
    cleanup_free char *token = sign(&key);
    size_t len = strlen(token);
    for (size_t i = 0; i < len; i += 3) {
        char old = token[i];
        token[i] = old == 'A' ? 'B' : 'A';
        if (jws_verify(&key, token, len, &c) >= 0)
            T_FAIL("accepted with character %zu changed", i);
        token[i] = old;
        T_TRUE(jws_verify(&key, token, i, &c) < 0);
    }
    char old = token[len - 1];
    for (char b = 'A'; b <= 'z'; b++) { /* other spellings of the last four bits, too */
        token[len - 1] = b;
        T_EQ(jws_verify(&key, token, len, &c) == 0, b == old);
    }
}

static void long_texts_are_refused(void)
{
    struct jws_claims c;
    static char text[JWS_MAX_TOKEN * 2];
    memset(text, 'A', sizeof(text));
    T_TRUE(jws_read(text, sizeof(text), &c) < 0);
    T_TRUE(jws_read(text, 0, &c) < 0);
    T_TRUE(jws_read("..", 2, &c) < 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_token_says_what_was_signed),
        T_CASE(another_key_is_refused),
        T_CASE(every_change_is_refused),
        T_CASE(long_texts_are_refused),
    };
    T_EQ(jws_key_make(&key), 0);
    T_EQ(jws_key_make(&other), 0);
    printf("1..%zu\n", ARRAY_SIZE(cases));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cases[i].run();
        printf("ok %zu - %s\n", i + 1, cases[i].name);
    }
    return 0;
}
