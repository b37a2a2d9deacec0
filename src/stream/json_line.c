/* SPDX-License-Identifier: Apache-2.0 */
/* json_line.c - see json_line.h. Most text needs no change: it is looked at once and stays. */
#include "stream/json_line.h"

#include <string.h>

#include "base/jsonw.h"
#include "base/utf8.h"

/* Length of the character at `p` when it breaks lines, else 0. */
static size_t json_line_break_at(const uint8_t *p, size_t left)
{
    if (p[0] == 0xc2 && left >= 2 && p[1] == 0x85)
        return 2;
    if (p[0] == 0xe2 && left >= 3 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
        return 3;
    return 0;
}

/* The next character that is to be escaped, or `end`. */
static const uint8_t *json_line_next(const uint8_t *p, const uint8_t *end, bool ascii)
{
    uint64_t eight;
    while ((size_t)(end - p) >= sizeof(eight)) { /* most text is ASCII */
        memcpy(&eight, p, sizeof(eight));
        if ((eight & 0x8080808080808080ull) != 0)
            break;
        p += sizeof(eight);
    }
    while (p < end && (*p < 0x80 || (!ascii && json_line_break_at(p, (size_t)(end - p)) == 0)))
        p++;
    return p;
}

static uint32_t json_line_code_point(const uint8_t *p, size_t n)
{
    static const uint8_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = p[0] & lead_bits[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3fu);
    return c;
}

static void json_line_put(struct buf *out, uint32_t c)
{
    uint8_t text[12], *end = text;
    if (c >= 0x10000) {
        end = jsonw_put_unit(end, 0xd800 + ((c - 0x10000) >> 10));
        c = 0xdc00 + ((c - 0x10000) & 0x3ff);
    }
    end = jsonw_put_unit(end, c);
    (void)buf_append(out, text, (size_t)(end - text));
}

void json_line_escape(struct buf *out, size_t start, bool ascii)
{
    const uint8_t *p = out->data + start, *end = out->data + out->len;
    if (out->len <= start || json_line_next(p, end, ascii) == end)
        return;
    struct buf rest = {0};
    (void)buf_append(&rest, p, (size_t)(end - p));
    out->len = start;
    out->failed = out->failed || rest.failed;
    p = rest.data;
    end = p + rest.len;
    while (p < end) {
        bool truncated;
        const uint8_t *at = json_line_next(p, end, ascii);
        (void)buf_append(out, p, (size_t)(at - p));
        size_t n = at < end ? utf8_char(at, (size_t)(end - at), &truncated) : 0;
        if (n > 0)
            json_line_put(out, json_line_code_point(at, n));
        p = at + MAX(n, (size_t)(at < end));
    }
    buf_done(&rest);
}
