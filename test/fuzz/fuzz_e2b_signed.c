/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a signed URL, a line each: only what the token has signed matches. */
#include <stdlib.h>
#include <string.h>

#include "e2b/signature.h"

static const char *line(char **rest)
{
    char *begin = *rest;
    if (begin == NULL)
        return NULL;
    *rest = strchr(begin, '\n');
    if (*rest != NULL)
        *(*rest)++ = '\0';
    return begin;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char right[SIGNATURE_SIZE];
    char *text = strndup((const char *)data, size), *rest = text;
    struct signed_url url = {.write = size > 0 && (data[0] & 1) != 0};
    if (text == NULL)
        return 0;
    url.path = line(&rest);
    url.signature = line(&rest);
    url.expiration = line(&rest);
    url.username = line(&rest);
    if (signature_matches(&url, "token"))
        abort(); /* SHA-256 would be broken */
    (void)signature_expired(&url, 1000);
    if (signature_make(&url, "token", right) == 0) {
        url.signature = right;
        if (!signature_matches(&url, "token") || signature_matches(&url, "other"))
            abort();
        url.write = !url.write;
        if (signature_matches(&url, "token"))
            abort();
    }
    free(text);
    return 0;
}
