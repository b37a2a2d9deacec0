/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jsonw.h"

#include <inttypes.h>
#include <string.h>

#include "base/timefmt.h"
#include "base/utf8.h"

#define JSONW_ONES  0x0101010101010101ull
#define JSONW_HIGHS 0x8080808080808080ull
#define JSONW_CHUNK 1024u /* bytes of a string for which room is made at once */

/* Whether a byte of the eight is one that needs a look: no ASCII, a control, a quote, a backslash.
 * A byte minus one borrows from its high bit only when it was zero. */
static bool jsonw_needs_look(uint64_t eight)
{
    uint64_t quote = eight ^ ('"' * JSONW_ONES), backslash = eight ^ ('\\' * JSONW_ONES);
    uint64_t found = eight | ((eight - 0x20 * JSONW_ONES) & ~eight) |
                     ((quote - JSONW_ONES) & ~quote) | ((backslash - JSONW_ONES) & ~backslash);
    return (found & JSONW_HIGHS) != 0;
}

uint8_t *jsonw_put_unit(uint8_t *out, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    out[0] = '\\';
    out[1] = 'u';
    for (unsigned int i = 0; i < 4; i++)
        out[2 + i] = (uint8_t)hex[unit >> (12 - 4 * i) & 15];
    return out + 6;
}

/* At most six bytes. */
static uint8_t *jsonw_escape(uint8_t *out, uint8_t c)
{
    static const char short_names[] = "btn\0fr"; /* 0x08 to 0x0d; \v has no short form in JSON */
    char name = c == '"' || c == '\\'    ? (char)c
                : c >= 0x08 && c <= 0x0d ? short_names[c - 0x08]
                                         : '\0';
    if (name == '\0')
        return jsonw_put_unit(out, c);
    out[0] = '\\';
    out[1] = (uint8_t)name;
    return out + 2;
}

/* One character, or what stands for a byte that is none: at most six bytes. */
static uint8_t *jsonw_char(uint8_t *out, const uint8_t **p, const uint8_t *end)
{
    uint8_t c = **p;
    if (c < 0x80) {
        *p += 1;
        if (c < 0x20 || c == '"' || c == '\\')
            return jsonw_escape(out, c);
        *out = c;
        return out + 1;
    }
    bool truncated;
    size_t n = utf8_char(*p, (size_t)(end - *p), &truncated);
    memcpy(out, n > 0 ? *p : (const uint8_t *)"\xef\xbf\xbd", n > 0 ? n : 3);
    *p += n > 0 ? n : 1;
    return out + (n > 0 ? n : 3);
}

/* The characters that begin before `stop`. Most text is ASCII: eight bytes at a time. `out` has
 * room for six times as many bytes, and one character more. */
static uint8_t *jsonw_chars(uint8_t *out, const uint8_t **p, const uint8_t *stop,
                            const uint8_t *end)
{
    uint64_t eight;
    while (*p < stop) {
        if (stop - *p >= (ptrdiff_t)sizeof(eight)) {
            memcpy(&eight, *p, sizeof(eight));
            if (!jsonw_needs_look(eight)) {
                memcpy(out, &eight, sizeof(eight));
                out += sizeof(eight);
                *p += sizeof(eight);
                continue;
            }
        }
        out = jsonw_char(out, p, end);
    }
    return out;
}

/* No byte costs a call: output of one that writes only newlines is the loop's time. */
void jsonw_quote(struct buf *out, const char *s, size_t len)
{
    const uint8_t *p = len > 0 ? (const uint8_t *)s
                               : (const uint8_t *)""; /* an empty buf has no data */
    const uint8_t *end = p + len;
    (void)buf_append(out, "\"", 1);
    while (p < end) {
        size_t n = MIN((size_t)(end - p), JSONW_CHUNK);
        if (buf_reserve(out, 6 * n + 6) < 0)
            return;
        uint8_t *at = out->data + out->len;
        out->len += (size_t)(jsonw_chars(at, &p, p + n, end) - at);
    }
    (void)buf_append(out, "\"", 1);
}

/* The comma before a value or key, except for the first in its container and after a key. */
static void jsonw_separate(struct jsonw *w)
{
    if (w->comma)
        (void)buf_append(w->out, ",", 1);
    w->comma = true;
}

static void jsonw_open(struct jsonw *w, const char *bracket)
{
    jsonw_separate(w);
    (void)buf_append(w->out, bracket, 1);
    w->comma = false;
}

static void jsonw_close(struct jsonw *w, const char *bracket)
{
    (void)buf_append(w->out, bracket, 1);
    w->comma = true;
}

void jsonw_object(struct jsonw *w)
{
    jsonw_open(w, "{");
}

void jsonw_object_end(struct jsonw *w)
{
    jsonw_close(w, "}");
}

void jsonw_array(struct jsonw *w)
{
    jsonw_open(w, "[");
}

void jsonw_array_end(struct jsonw *w)
{
    jsonw_close(w, "]");
}

void jsonw_keyn(struct jsonw *w, const char *key, size_t len)
{
    jsonw_separate(w);
    jsonw_quote(w->out, key, len);
    (void)buf_append(w->out, ":", 1);
    w->comma = false;
}

void jsonw_key(struct jsonw *w, const char *key)
{
    jsonw_keyn(w, key, strlen(key));
}

void jsonw_strn(struct jsonw *w, const char *s, size_t len)
{
    jsonw_separate(w);
    jsonw_quote(w->out, s, len);
}

void jsonw_str(struct jsonw *w, const char *s)
{
    jsonw_strn(w, s, strlen(s));
}

void jsonw_int(struct jsonw *w, int64_t v)
{
    jsonw_separate(w);
    (void)buf_printf(w->out, "%" PRId64, v);
}

void jsonw_fixed(struct jsonw *w, double v)
{
    jsonw_separate(w);
    (void)buf_printf(w->out, "%.2f", v);
}

void jsonw_raw(struct jsonw *w, const char *text, size_t len)
{
    jsonw_separate(w);
    (void)buf_append(w->out, text, len);
}

void jsonw_bool(struct jsonw *w, bool v)
{
    jsonw_raw(w, v ? "true" : "false", v ? 4 : 5);
}

void jsonw_null(struct jsonw *w)
{
    jsonw_raw(w, "null", 4);
}

void jsonw_time(struct jsonw *w, int64_t ms)
{
    char text[TIMEFMT_SIZE];
    if (ms == 0)
        jsonw_null(w);
    else
        jsonw_str(w, timefmt_rfc3339(text, ms));
}

void jsonw_key_str(struct jsonw *w, const char *key, const char *s)
{
    jsonw_key(w, key);
    jsonw_str(w, s);
}

void jsonw_key_int(struct jsonw *w, const char *key, int64_t v)
{
    jsonw_key(w, key);
    jsonw_int(w, v);
}

void jsonw_key_bool(struct jsonw *w, const char *key, bool v)
{
    jsonw_key(w, key);
    jsonw_bool(w, v);
}

void jsonw_key_time(struct jsonw *w, const char *key, int64_t ms)
{
    jsonw_key(w, key);
    jsonw_time(w, ms);
}
