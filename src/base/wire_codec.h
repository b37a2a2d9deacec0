/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_codec.h - encoding and decoding of wire.h frames. Pure functions, no I/O.
 *
 * Writing: wire_begin, fields, wire_end; memory failure is remembered by the buffer.
 * Reading: feed bytes into a `struct wire_reader`, take whole frames out, read fields with a
 * cursor and the functions wire_get_..., then check cursor_end.
 */
#ifndef CORRAL_BASE_WIRE_CODEC_H
#define CORRAL_BASE_WIRE_CODEC_H

#include "base/buf.h"
#include "wire.h"

/* A view of bytes owned by someone else; not terminated. */
struct span {
    const char *data;
    size_t len;
};

/* Starts a frame at the end of `b`; returns the offset to hand to wire_end, which fills in the
 * length. */
size_t wire_begin(struct buf *b, enum wire_type type);
void wire_end(struct buf *b, size_t start);
/* The same for a payload of which `more` bytes follow outside of the buffer. */
void wire_end_with(struct buf *b, size_t start, size_t more);
/* A whole frame with a raw payload. */
int wire_put_frame(struct buf *b, enum wire_type type, const void *payload, size_t len);
void wire_put_str(struct buf *b, const char *s);
void wire_put_span(struct buf *b, const void *data, size_t len);
/* `items` is NULL-terminated and may be NULL (an empty list). */
void wire_put_list(struct buf *b, const char *const *items);
int wire_put_error(struct buf *b, enum wire_error code, const char *message);

struct span wire_get_span(struct cursor *c);
/* A copy as a C string, owned by the caller. NULL, with `c->bad` set, when the bytes hold a NUL or
 * memory ran out. */
char *wire_get_str(struct cursor *c);
/* A NULL-terminated vector in one allocation (free() releases all). Same failures. */
char **wire_get_list(struct cursor *c);

/* One frame as received; `payload` points into the reader and is valid until the next call. */
struct wire_frame {
    enum wire_type type;
    const uint8_t *payload;
    size_t len;
};

struct wire_reader {
    struct buf buf;
    struct span lent;   /* what is read instead of `buf`, see wire_reader_lend */
    size_t consumed;    /* bytes at the front that belong to the frame handed out last */
    size_t max_payload; /* 0 means WIRE_MAX_PAYLOAD */
    bool parts;         /* a DATA frame comes as several, each with what has arrived of it */
    size_t part_left;   /* bytes to come of the DATA frame that is under way */
};

void wire_reader_done(struct wire_reader *r);
/* Appends received bytes. 0 or -ENOMEM. */
int wire_reader_feed(struct wire_reader *r, const void *data, size_t len);
/* The same without a copy: the bytes stay the caller's, who says wire_reader_keep before they go
 * away. 0 or -ENOMEM. */
int wire_reader_lend(struct wire_reader *r, const void *data, size_t len);
/* Copies what was lent and not handed out. 0 or -ENOMEM. */
int wire_reader_keep(struct wire_reader *r);
/* 1 and a frame, 0 when more bytes are needed, -EPROTO for a header that cannot be. */
int wire_reader_next(struct wire_reader *r, struct wire_frame *ret);
/* What is buffered behind the last frame: a connection that turns raw (PORT) continues with it. */
struct span wire_reader_rest(const struct wire_reader *r);

#endif
