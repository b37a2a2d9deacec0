/* SPDX-License-Identifier: Apache-2.0 */
/* stream_internal.h - between stream.c, which owns the socket, and stream_tls.c. */
#ifndef CORRAL_NET_STREAM_INTERNAL_H
#define CORRAL_NET_STREAM_INTERNAL_H

#include "net/stream.h"

/* stream.c: calls `ended` once; hands bytes to the kernel, of an open stream. */
void stream_end(struct stream *s, int status);
int stream_push(struct stream *s, const uv_buf_t *bufs, unsigned int n, struct buf *last);

/* stream_tls.c: the same in plain text. */
void stream_tls_read(struct stream *s, const uint8_t *data, size_t len);
int stream_tls_push(struct stream *s, const uv_buf_t *bufs, unsigned int n, const struct buf *last);
/* Sends close_notify. Does nothing without TLS. */
void stream_tls_bye(struct stream *s);

#endif
