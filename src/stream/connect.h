/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.h - messages of the Connect protocol: five bytes of flags and length, then JSON. Pure.
 *
 * A stream ends with a message of its own, which says how.
 */
#ifndef CORRAL_STREAM_CONNECT_H
#define CORRAL_STREAM_CONNECT_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/wire_codec.h"

#define CONNECT_HEAD 5

/* The message at the beginning of `data`. Its bytes used, 0 when more must come, -EPROTO for flags
 * that a request cannot have (compression among them), -EMSGSIZE for one over `max`. */
ssize_t connect_message(const uint8_t *data, size_t len, size_t max, struct span *ret);
/* As connect_message for a body that is one message and nothing else: 0 or a negative errno. */
int connect_only_message(const uint8_t *data, size_t len, size_t max, struct span *ret);

/* Begins a message; what is appended until connect_end is its JSON. */
size_t connect_begin(struct buf *out);
void connect_end(struct buf *out, size_t start);
/* The end of a stream: well, or with an error. */
void connect_end_stream(struct buf *out, const struct error *err);

/* The name of an error, and the HTTP status of an answer that has it. */
const char *connect_code(enum error_code code, int *status);
/* {"code":..., "message":...} */
void connect_write_error(struct buf *out, const struct error *err);

#endif
