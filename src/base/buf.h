/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h - a growable byte buffer, and the bounds-checked cursor that is the only way to read
 * bytes from outside.
 *
 * A zeroed `struct buf` is empty and valid. Appending fails with -ENOMEM only; a buffer remembers
 * that failure (`failed`), so a run of appends needs one check at its end.
 */
#ifndef CORRAL_BASE_BUF_H
#define CORRAL_BASE_BUF_H

#include <stdbool.h>

#include "base/base.h"

struct buf {
    uint8_t *data; /* owned */
    size_t len;
    size_t cap;
    bool failed; /* an append did not fit into memory; contents are incomplete */
};

#define cleanup_buf __attribute__((cleanup(buf_done)))

void buf_done(struct buf *b);  /* frees the bytes; the buffer is empty and usable again */
void buf_reset(struct buf *b); /* forgets the bytes, keeps the memory */
int buf_reserve(struct buf *b, size_t more);
int buf_append(struct buf *b, const void *data, size_t len);
int buf_append_str(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Drops the first `len` bytes. */
void buf_consume(struct buf *b, size_t len);
/* Makes data a C string (the terminator is not counted). NULL when memory ran out. */
char *buf_cstr(struct buf *b);

/* Appending integers, little-endian. */
int buf_u8(struct buf *b, uint8_t v);
int buf_u16(struct buf *b, uint16_t v);
int buf_u32(struct buf *b, uint32_t v);
int buf_u64(struct buf *b, uint64_t v);

/* Reading. Each function returns the value, or zero once `bad` is set; a run of reads needs one
 * check of cursor_ok (or cursor_end: everything was read, nothing is left) at its end. */
struct cursor {
    const uint8_t *p;
    size_t left;
    bool bad;
};

/* `data` may be NULL when `len` is 0. */
static inline struct cursor cursor_on(const void *data, size_t len)
{
    return (struct cursor){.p = (const uint8_t *)(data != NULL ? data : ""), .left = len};
}

uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
/* A view of the next `len` bytes; NULL when fewer are left. */
const uint8_t *cursor_bytes(struct cursor *c, size_t len);

static inline bool cursor_ok(const struct cursor *c)
{
    return !c->bad;
}

static inline bool cursor_end(const struct cursor *c)
{
    return !c->bad && c->left == 0;
}

#endif
