/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(struct buf *out, const void *data, size_t len)
{
    const uint8_t *p = data;
    if (len > SIZE_MAX / 4 || buf_reserve(out, (len + 2) / 3 * 4) < 0)
        return -ENOMEM;
    uint8_t *to = out->data + out->len;
    out->len += (len + 2) / 3 * 4;
    for (; len > 0; p += 3) {
        size_t n = MIN(len, (size_t)3);
        uint32_t bits = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) |
                        (n > 2 ? (uint32_t)p[2] : 0);
        for (size_t i = 0; i < 4; i++)
            *to++ = (uint8_t)(i <= n ? base64_digits[bits >> (18 - 6 * i) & 63] : '=');
        len -= n;
    }
    return 0;
}

static int base64_value(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four; `pad` of its characters are '='. */
static int base64_group(struct buf *out, const char *text, size_t pad)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int v = i < 4 - pad ? base64_value(text[i]) : 0;
        if (v < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)v;
    }
    if ((pad == 1 && (bits & 0xff) != 0) || (pad == 2 && (bits & 0xffff) != 0))
        return -EINVAL; /* bits that no byte holds */
    const uint8_t bytes[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
    return buf_append(out, bytes, 3 - pad);
}

int base64_decode(struct buf *out, const char *text, size_t len)
{
    if (len % 4 != 0)
        return -EINVAL;
    for (size_t i = 0; i < len; i += 4) {
        size_t pad = 0;
        if (i + 4 == len)
            pad = text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
        int rv = base64_group(out, text + i, pad);
        if (rv < 0)
            return rv;
    }
    return 0;
}
