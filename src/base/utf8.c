/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

/* Expected length and the allowed range of the second byte, from the first (RFC 3629, section 4).
 */
static size_t utf8_lead(uint8_t c, uint8_t *lo, uint8_t *hi)
{
    *lo = 0x80;
    *hi = 0xbf;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return 2;
    if (c >= 0xe0 && c <= 0xef) {
        if (c == 0xe0)
            *lo = 0xa0;
        if (c == 0xed)
            *hi = 0x9f;
        return 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        if (c == 0xf0)
            *lo = 0x90;
        if (c == 0xf4)
            *hi = 0x8f;
        return 4;
    }
    return 0;
}

size_t utf8_char(const uint8_t *s, size_t len, bool *truncated)
{
    uint8_t lo, hi;
    *truncated = false;
    size_t need = len > 0 ? utf8_lead(s[0], &lo, &hi) : 0;
    for (size_t i = 1; i < need; i++) {
        if (i == len) {
            *truncated = true;
            return 0;
        }
        if (s[i] < (i == 1 ? lo : 0x80) || s[i] > (i == 1 ? hi : 0xbf))
            return 0;
    }
    return need;
}

bool utf8_valid(const uint8_t *s, size_t len)
{
    bool truncated;
    while (len > 0) {
        size_t n = utf8_char(s, len, &truncated);
        if (n == 0)
            return false;
        s += n;
        len -= n;
    }
    return true;
}

size_t utf8_tail(const uint8_t *s, size_t len)
{
    for (size_t n = 1; n <= MIN(len, (size_t)3); n++) {
        bool truncated = false;
        if (utf8_char(s + len - n, n, &truncated) == 0 && truncated)
            return n;
    }
    return 0;
}
