/* SPDX-License-Identifier: Apache-2.0 */
/* signature.c - see signature.h. */
#include "e2b/signature.h"

#include <errno.h>
#include <string.h>

#include "auth/sha256.h"
#include "base/base64.h"
#include "base/num.h"
#include "core/id.h"

int signature_make(const struct signed_url *url, const char *token, char out[SIGNATURE_SIZE])
{
    cleanup_buf struct buf text = {0}, code = {0};
    uint8_t hash[SHA256_SIZE];
    (void)buf_printf(&text, "%s:%s:%s:%s", url->path, url->write ? "write" : "read",
                     url->username != NULL ? url->username : "", token);
    if (url->expiration != NULL)
        (void)buf_printf(&text, ":%s", url->expiration);
    if (text.failed)
        return -ENOMEM;
    sha256(text.data, text.len, hash);
    (void)base64_encode(&code, hash, sizeof(hash));
    if (code.failed)
        return -ENOMEM;
    memcpy(out, "v1_", 3);
    memcpy(out + 3, code.data, 43); /* what follows is padding */
    out[46] = '\0';
    return 0;
}

bool signature_matches(const struct signed_url *url, const char *token)
{
    char expected[SIGNATURE_SIZE];
    if (url->path == NULL || url->signature == NULL || strlen(url->signature) != 46)
        return false;
    return signature_make(url, token, expected) == 0 && id_equal(expected, url->signature, 46);
}

bool signature_expired(const struct signed_url *url, int64_t now_s)
{
    int64_t until;
    if (url->expiration == NULL)
        return false;
    return num_parse(url->expiration, 0, INT64_MAX, &until) < 0 || until < now_s;
}
