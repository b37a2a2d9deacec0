/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multipart.h - multipart/form-data (RFC 7578) as it arrives: bytes in, parts out. Pure, no I/O.
 *
 * Part headers are bounded; data is handed on as views into the caller's bytes, so nothing grows
 * with the body. File names are taken as raw bytes, never cut at slashes: published clients send
 * whole destination paths in them, in unescaped UTF-8.
 */
#ifndef CORRAL_HTTP_MULTIPART_H
#define CORRAL_HTTP_MULTIPART_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

#define MULTIPART_MAX_BOUNDARY 70   /* RFC 2046, section 5.1.1 */
#define MULTIPART_MAX_HEAD     8192 /* bytes of one part's headers */

struct multipart;

/* A callback returns 0, or a negative errno that ends the parsing, or 1 to have multipart_feed
 * return after this event: the rest is fed later. */
struct multipart_handler {
    /* Name and file name are NUL-terminated; the file name is NULL for a plain field. */
    int (*part)(struct multipart *m, const char *name, const char *filename);
    int (*data)(struct multipart *m, const uint8_t *data, size_t len);
    int (*part_end)(struct multipart *m);
};

enum multipart_state {
    MULTIPART_PREAMBLE, /* up to the first boundary */
    MULTIPART_AFTER,    /* behind a boundary: "--" or a line end */
    MULTIPART_HEAD,     /* headers of a part */
    MULTIPART_DATA,
    MULTIPART_EPILOGUE, /* behind the last boundary: ignored */
};

struct multipart {
    const struct multipart_handler *handler;
    char delimiter[4 + MULTIPART_MAX_BOUNDARY + 1]; /* "\r\n--" boundary */
    size_t delimiter_len;
    size_t matched; /* bytes of the delimiter seen at the end of what was fed */
    enum multipart_state state;
    struct buf head; /* of the part, or what follows a boundary */
};

/* From the Content-Type header's value. -EINVAL when it is another type or has no usable boundary.
 */
int multipart_init(struct multipart *m, const char *content_type,
                   const struct multipart_handler *handler);
void multipart_done(struct multipart *m);
/* The number of bytes used (less than `len` only when a callback returned 1), or a negative errno:
 * -EPROTO for a malformed body, or a callback's. */
ssize_t multipart_feed(struct multipart *m, const uint8_t *data, size_t len);
/* True once the last boundary was seen. */
bool multipart_complete(const struct multipart *m);

#endif
