/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record.h"

#include <errno.h>
#include <string.h>

#include "base/wire_codec.h"

#define RECORD_NULL UINT32_MAX /* length of a string that is NULL */

void record_begin(struct buf *b, uint8_t version)
{
    (void)buf_u8(b, version);
}

void record_bool(struct buf *b, bool v)
{
    (void)buf_u8(b, v ? 1 : 0);
}

void record_i64(struct buf *b, int64_t v)
{
    (void)buf_u64(b, (uint64_t)v);
}

void record_str(struct buf *b, const char *s)
{
    if (s == NULL)
        (void)buf_u32(b, RECORD_NULL);
    else
        wire_put_str(b, s);
}

void record_bytes(struct buf *b, const void *data, size_t len)
{
    (void)buf_append(b, data, len);
}

void record_list(struct buf *b, const char *const *items)
{
    wire_put_list(b, items);
}

int record_open(struct cursor *c, const void *data, size_t len, uint8_t max_version)
{
    *c = cursor_on(data, len);
    uint8_t version = cursor_u8(c);
    return version >= 1 && version <= max_version ? version : -EPROTO;
}

bool record_get_bool(struct cursor *c)
{
    uint8_t v = cursor_u8(c);
    if (v > 1)
        c->bad = true;
    return v == 1;
}

int64_t record_get_i64(struct cursor *c)
{
    return (int64_t)cursor_u64(c);
}

char *record_get_str(struct cursor *c)
{
    struct cursor ahead = *c;
    if (cursor_u32(&ahead) == RECORD_NULL && cursor_ok(&ahead)) {
        *c = ahead;
        return NULL;
    }
    return wire_get_str(c);
}

void record_get_text(struct cursor *c, char *out, size_t size)
{
    struct span s = wire_get_span(c);
    if (s.len >= size || memchr(s.data, '\0', s.len) != NULL) {
        c->bad = true;
        s.len = 0;
    }
    memcpy(out, s.data, s.len);
    out[s.len] = '\0';
}

void record_get_bytes(struct cursor *c, void *out, size_t len)
{
    const uint8_t *p = cursor_bytes(c, len);
    if (p != NULL && len > 0)
        memcpy(out, p, len);
    else
        memset(out, 0, len);
}

char **record_get_list(struct cursor *c)
{
    return wire_get_list(c);
}

int record_end(const struct cursor *c)
{
    return cursor_end(c) ? 0 : -EPROTO;
}
