/* SPDX-License-Identifier: Apache-2.0 */
/* grant.c - see grant.h. */
#include "auth/grant.h"

#include <errno.h>
#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "core/id.h"

int grant_key_load(struct grant_key *s, struct store *store)
{
    cleanup_buf struct buf b = {0};
    int rv = store_get(store, STORE_META, META_GRANT_KEY, strlen(META_GRANT_KEY), &b);
    if (rv == 0 && b.len == GRANT_KEY_SIZE) {
        memcpy(s->bytes, b.data, GRANT_KEY_SIZE);
        return 0;
    }
    if (rv < 0 && rv != -ENOENT)
        return rv;
    id_random(s->bytes, GRANT_KEY_SIZE);
    return store_put(store, STORE_META, META_GRANT_KEY, strlen(META_GRANT_KEY), s->bytes,
                     GRANT_KEY_SIZE);
}

void grant_token(const struct grant_key *s, const char *purpose, const char *subject,
                 char out[GRANT_TOKEN_SIZE])
{
    uint8_t mac[32];
    char text[256];
    int n = snprintf(text, sizeof(text), "%s:%s", purpose, subject);
    /* Fails only without memory, or where SHA-256 is missing. */
    if (n < 0 || (size_t)n >= sizeof(text) ||
        mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), s->bytes, GRANT_KEY_SIZE,
                        (const uint8_t *)text, (size_t)n, mac) != 0)
        abort();
    for (size_t i = 0; i < sizeof(mac); i++)
        (void)snprintf(out + 2 * i, 3, "%02x", mac[i]);
}

bool grant_check(const struct grant_key *s, const char *purpose, const char *subject,
                 const char *text)
{
    char token[GRANT_TOKEN_SIZE];
    grant_token(s, purpose, subject, token);
    return strlen(text) == GRANT_TOKEN_SIZE - 1 && id_equal(token, text, GRANT_TOKEN_SIZE - 1);
}

/* The end is a part of what the token is about. */
static void grant_pass_subject(char out[256], const char *subject, int64_t end_s)
{
    (void)snprintf(out, 256, "%.200s:%lld", subject, (long long)end_s);
}

void grant_pass(const struct grant_key *s, const char *purpose, const char *subject, int64_t end_s,
                char out[GRANT_PASS_SIZE])
{
    char about[256], token[GRANT_TOKEN_SIZE];
    grant_pass_subject(about, subject, end_s);
    grant_token(s, purpose, about, token);
    (void)snprintf(out, GRANT_PASS_SIZE, "%lld.%s", (long long)end_s, token);
}

bool grant_pass_check(const struct grant_key *s, const char *purpose, const char *subject,
                      const char *text, size_t len, int64_t now_s, int64_t *ret_end_s)
{
    char copy[GRANT_PASS_SIZE], about[256];
    int64_t end_s;
    if (len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    char *token = strchr(copy, '.');
    if (token == NULL)
        return false;
    *token++ = '\0';
    if (num_parse(copy, 1, INT64_MAX, &end_s) < 0 || end_s <= now_s)
        return false;
    grant_pass_subject(about, subject, end_s);
    if (!grant_check(s, purpose, about, token))
        return false;
    *ret_end_s = end_s;
    return true;
}
