/* SPDX-License-Identifier: Apache-2.0 */
/* secret.c - see secret.h. */
#include "auth/secret.h"

#include <errno.h>
#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>

#include "core/id.h"

int secret_load(struct secret *s, struct store *store)
{
    cleanup_buf struct buf b = {0};
    int rv = store_get(store, STORE_META, META_SECRET, strlen(META_SECRET), &b);
    if (rv == 0 && b.len == SECRET_SIZE) {
        memcpy(s->bytes, b.data, SECRET_SIZE);
        return 0;
    }
    if (rv < 0 && rv != -ENOENT)
        return rv;
    id_random(s->bytes, SECRET_SIZE);
    return store_put(store, STORE_META, META_SECRET, strlen(META_SECRET), s->bytes, SECRET_SIZE);
}

void secret_token(const struct secret *s, const char *purpose, const char *subject,
                  char out[SECRET_TOKEN_SIZE])
{
    uint8_t mac[32];
    char text[256];
    int n = snprintf(text, sizeof(text), "%s:%s", purpose, subject);
    /* Fails only without memory, or where SHA-256 is missing. */
    if (n < 0 || (size_t)n >= sizeof(text) ||
        mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), s->bytes, SECRET_SIZE,
                        (const uint8_t *)text, (size_t)n, mac) != 0)
        abort();
    for (size_t i = 0; i < sizeof(mac); i++)
        (void)snprintf(out + 2 * i, 3, "%02x", mac[i]);
}

bool secret_check(const struct secret *s, const char *purpose, const char *subject,
                  const char *text)
{
    char token[SECRET_TOKEN_SIZE];
    secret_token(s, purpose, subject, token);
    return strlen(text) == SECRET_TOKEN_SIZE - 1 && id_equal(token, text, SECRET_TOKEN_SIZE - 1);
}
