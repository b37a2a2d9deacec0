/* SPDX-License-Identifier: Apache-2.0 */
/* grant.c - see grant.h. */
#include "auth/grant.h"

#include <errno.h>
#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>

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
