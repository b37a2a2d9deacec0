/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUF_MIN_CAP 64

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

int buf_reserve(struct buf *b, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(b->len, more, &need) || need > SIZE_MAX / 2)
        goto fail;
    if (need <= b->cap)
        return 0;
    size_t cap = MAX(b->cap, (size_t)BUF_MIN_CAP);
    while (cap < need)
        cap *= 2;
    uint8_t *data = realloc(b->data, cap);
    if (data == NULL)
        goto fail;
    b->data = data;
    b->cap = cap;
    return 0;
fail:
    b->failed = true;
    return -ENOMEM;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    int rv = buf_reserve(b, len);
    if (rv < 0)
        return rv;
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return 0;
}

int buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) { /* a result of 2 GiB: no memory for it, either */
        b->failed = true;
        return -ENOMEM;
    }
    int rv = buf_reserve(b, (size_t)n + 1);
    if (rv < 0)
        return rv;
    va_start(ap, fmt);
    (void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

void buf_consume(struct buf *b, size_t len)
{
    if (len >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
}

char *buf_cstr(struct buf *b)
{
    if (buf_reserve(b, 1) < 0)
        return NULL;
    b->data[b->len] = '\0';
    return (char *)b->data;
}

static int buf_le(struct buf *b, uint64_t v, size_t bytes)
{
    uint8_t out[8];
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(v >> (8 * i));
    return buf_append(b, out, bytes);
}

int buf_u8(struct buf *b, uint8_t v)
{
    return buf_le(b, v, 1);
}

int buf_u16(struct buf *b, uint16_t v)
{
    return buf_le(b, v, 2);
}

int buf_u32(struct buf *b, uint32_t v)
{
    return buf_le(b, v, 4);
}

int buf_u64(struct buf *b, uint64_t v)
{
    return buf_le(b, v, 8);
}

/*@ predicate cursor_valid(struct cursor *c) =
  @     \valid(c) && c->p != \null && (c->left > 0 ==> \valid_read(c->p + (0 .. c->left - 1))) &&
  @     \separated(c, c->p + (0 .. c->left - 1));
  @*/

/*@ requires cursor_valid(c);
  @ assigns c->p, c->left, c->bad;
  @ ensures kept: cursor_valid(c);
  @ ensures none: \result == \null <==> c->bad;
  @ ensures inside: \result != \null && len > 0 ==> \valid_read(\result + (0 .. len - 1));
  @ ensures moved: \result != \null ==>
  @     \result == \old(c->p) && c->p == \old(c->p) + len && c->left == \old(c->left) - len;
  @ ensures still: c->bad ==> c->p == \old(c->p) && c->left == \old(c->left);
  @ ensures stays: \old(c->bad) ==> c->bad;
  @*/
const uint8_t *cursor_bytes(struct cursor *c, size_t len)
{
    if (c->bad || len > c->left) {
        c->bad = true;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += len;
    c->left -= len;
    return p;
}

/*@ requires cursor_valid(c) && 1 <= bytes <= 8;
  @ assigns c->p, c->left, c->bad;
  @ ensures kept: cursor_valid(c);
  @ ensures none: c->bad ==> \result == 0;
  @ ensures stays: \old(c->bad) ==> c->bad;
  @*/
static uint64_t cursor_le(struct cursor *c, size_t bytes)
{
    const uint8_t *p = cursor_bytes(c, bytes);
    uint64_t v = 0;
    if (p == NULL)
        return 0;
    /*@ loop invariant 0 <= i <= bytes;
      @ loop assigns i, v;
      @ loop variant bytes - i;
      @*/
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/*@ requires cursor_valid(c);
  @ assigns c->p, c->left, c->bad;
  @ ensures kept: cursor_valid(c);
  @ ensures none: c->bad ==> \result == 0;
  @*/
uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)cursor_le(c, 1);
}

/*@ requires cursor_valid(c);
  @ assigns c->p, c->left, c->bad;
  @ ensures kept: cursor_valid(c);
  @ ensures none: c->bad ==> \result == 0;
  @*/
uint16_t cursor_u16(struct cursor *c)
{
    return (uint16_t)cursor_le(c, 2);
}

/*@ requires cursor_valid(c);
  @ assigns c->p, c->left, c->bad;
  @ ensures kept: cursor_valid(c);
  @ ensures none: c->bad ==> \result == 0;
  @*/
uint32_t cursor_u32(struct cursor *c)
{
    return (uint32_t)cursor_le(c, 4);
}

/*@ requires cursor_valid(c);
  @ assigns c->p, c->left, c->bad;
  @ ensures kept: cursor_valid(c);
  @ ensures none: c->bad ==> \result == 0;
  @*/
uint64_t cursor_u64(struct cursor *c)
{
    return cursor_le(c, 8);
}
