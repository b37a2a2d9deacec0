/* SPDX-License-Identifier: Apache-2.0 */
#include "core/id.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define ID_HOST_NAME_DIGITS 8

static const char id_base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void id_random(void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        /* Keys made from bytes that are not random could be guessed, so the process ends. */
        if (n <= 0)
            abort();
        p += n;
        len -= (size_t)n;
    }
}

void id_new(char out[ID_SIZE])
{
    uint8_t b[16];
    id_random(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* RFC 4122 variant */
    (void)snprintf(out, ID_SIZE,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                   b[14], b[15]);
}

int id_parse(char out[ID_SIZE], const char *s)
{
    char id[ID_SIZE];
    for (size_t i = 0; i < ID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
            return -EINVAL;
        id[i] = (char)tolower((unsigned char)s[i]);
    }
    if (s[ID_SIZE - 1] != '\0')
        return -EINVAL;
    id[ID_SIZE - 1] = '\0';
    for (size_t i = 0; i < ID_SIZE; i++)
        out[i] = id[i];
    return 0;
}

void id_token(char *out, size_t len)
{
    size_t n = 0;
    while (n < len) {
        uint8_t bytes[64];
        id_random(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes) && n < len; i++) {
            /* 248 is the largest multiple of 62 in a byte: what lies above would favour the first
             * characters. */
            if (bytes[i] < 248)
                out[n++] = id_base62[bytes[i] % 62];
        }
    }
    out[n] = '\0';
}

bool id_equal(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t diff = 0;
    for (size_t i = 0; i < len; i++)
        diff = (uint8_t)(diff | (x[i] ^ y[i]));
    return diff == 0;
}

void id_host_name(char out[ID_HOST_NAME_SIZE], const char *id)
{
    bool letter = strcspn(id, "abcdef") < ID_HOST_NAME_DIGITS;
    (void)snprintf(out, ID_HOST_NAME_SIZE, "%s%.*s", letter ? "" : "s", ID_HOST_NAME_DIGITS, id);
}
