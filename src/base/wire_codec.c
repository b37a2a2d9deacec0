/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wire_codec.h"

#include <errno.h>
#include <string.h>

size_t wire_begin(struct buf *b, enum wire_type type)
{
    size_t start = b->len;
    (void)buf_u32(b, 0);
    (void)buf_u16(b, (uint16_t)type);
    (void)buf_u16(b, 0);
    return start;
}

void wire_end(struct buf *b, size_t start)
{
    wire_end_with(b, start, 0);
}

void wire_end_with(struct buf *b, size_t start, size_t more)
{
    if (b->failed)
        return;
    uint32_t len = (uint32_t)(b->len - start - WIRE_HEADER_SIZE + more);
    for (size_t i = 0; i < 4; i++)
        b->data[start + i] = (uint8_t)(len >> (8 * i));
}

int wire_put_frame(struct buf *b, enum wire_type type, const void *payload, size_t len)
{
    size_t start = wire_begin(b, type);
    (void)buf_append(b, payload, len);
    wire_end(b, start);
    return b->failed ? -ENOMEM : 0;
}

void wire_put_span(struct buf *b, const void *data, size_t len)
{
    (void)buf_u32(b, (uint32_t)len);
    (void)buf_append(b, data, len);
}

void wire_put_str(struct buf *b, const char *s)
{
    wire_put_span(b, s, strlen(s));
}

void wire_put_list(struct buf *b, const char *const *items)
{
    uint32_t count = 0;
    while (items != NULL && items[count] != NULL)
        count++;
    (void)buf_u32(b, count);
    for (uint32_t i = 0; i < count; i++)
        wire_put_str(b, items[i]);
}

int wire_put_error(struct buf *b, enum wire_error code, const char *message)
{
    size_t start = wire_begin(b, WIRE_ERROR);
    (void)buf_u32(b, (uint32_t)code);
    wire_put_str(b, message);
    wire_end(b, start);
    return b->failed ? -ENOMEM : 0;
}

struct span wire_get_span(struct cursor *c)
{
    size_t len = cursor_u32(c);
    const uint8_t *p = cursor_bytes(c, len);
    if (p == NULL)
        return (struct span){"", 0};
    return (struct span){(const char *)p, len};
}

char *wire_get_str(struct cursor *c)
{
    struct span s = wire_get_span(c);
    if (!cursor_ok(c))
        return NULL;
    char *copy = memchr(s.data, '\0', s.len) == NULL ? strndup(s.data, s.len) : NULL;
    if (copy == NULL)
        c->bad = true;
    return copy;
}

char **wire_get_list(struct cursor *c)
{
    uint32_t count = cursor_u32(c);
    /* Each element takes at least its own length field: a count that cannot be true is refused
     * before anything is allocated for it. */
    if (!cursor_ok(c) || count > WIRE_MAX_LIST || count > c->left / 4) {
        c->bad = true;
        return NULL;
    }
    size_t vector = (count + 1) * sizeof(char *);
    char **items = malloc(vector + c->left + count);
    if (items == NULL) {
        c->bad = true;
        return NULL;
    }
    char *text = (char *)items + vector;
    for (uint32_t i = 0; i < count; i++) {
        struct span s = wire_get_span(c);
        if (!cursor_ok(c) || memchr(s.data, '\0', s.len) != NULL) {
            c->bad = true;
            free(items);
            return NULL;
        }
        items[i] = text;
        memcpy(text, s.data, s.len);
        text[s.len] = '\0';
        text += s.len + 1;
    }
    items[count] = NULL;
    return items;
}

void wire_reader_done(struct wire_reader *r)
{
    buf_done(&r->buf);
    r->lent = (struct span){0};
    r->consumed = r->part_left = 0;
}

int wire_reader_feed(struct wire_reader *r, const void *data, size_t len)
{
    if (r->consumed > 0) {
        buf_consume(&r->buf, r->consumed);
        r->consumed = 0;
    }
    return buf_append(&r->buf, data, len);
}

int wire_reader_lend(struct wire_reader *r, const void *data, size_t len)
{
    if (wire_reader_rest(r).len > 0)
        return wire_reader_feed(r, data, len);
    buf_reset(&r->buf);
    r->consumed = 0;
    r->lent = (struct span){data, len};
    return 0;
}

int wire_reader_keep(struct wire_reader *r)
{
    struct span rest = wire_reader_rest(r);
    if (r->lent.data == NULL)
        return 0;
    r->lent = (struct span){0};
    r->consumed = 0;
    return rest.len > 0 ? buf_append(&r->buf, rest.data, rest.len) : 0;
}

/* The next of the bytes that a DATA frame still has to come. */
static int reader_part(struct wire_reader *r, struct wire_frame *ret)
{
    struct span rest = wire_reader_rest(r);
    size_t n = MIN(rest.len, r->part_left);
    if (n == 0)
        return 0;
    r->consumed += n;
    r->part_left -= n;
    *ret = (struct wire_frame){.type = WIRE_DATA, .payload = (const uint8_t *)rest.data, .len = n};
    return 1;
}

int wire_reader_next(struct wire_reader *r, struct wire_frame *ret)
{
    if (r->part_left > 0)
        return reader_part(r, ret);
    struct span rest = wire_reader_rest(r);
    struct cursor c = cursor_on(rest.data, rest.len);
    if (c.left < WIRE_HEADER_SIZE)
        return 0;
    size_t len = cursor_u32(&c);
    uint16_t type = cursor_u16(&c);
    uint16_t reserved = cursor_u16(&c);
    if (reserved != 0 || len > (r->max_payload > 0 ? r->max_payload : WIRE_MAX_PAYLOAD))
        return -EPROTO;
    if (r->parts && type == WIRE_DATA && len > 0) {
        r->consumed += WIRE_HEADER_SIZE;
        r->part_left = len;
        return reader_part(r, ret);
    }
    const uint8_t *payload = cursor_bytes(&c, len);
    if (payload == NULL)
        return 0;
    r->consumed += WIRE_HEADER_SIZE + len;
    *ret = (struct wire_frame){.type = (enum wire_type)type, .payload = payload, .len = len};
    return 1;
}

struct span wire_reader_rest(const struct wire_reader *r)
{
    if (r->lent.data != NULL)
        return (struct span){r->lent.data + r->consumed, r->lent.len - r->consumed};
    if (r->buf.data == NULL)
        return (struct span){"", 0};
    return (struct span){(const char *)r->buf.data + r->consumed, r->buf.len - r->consumed};
}
