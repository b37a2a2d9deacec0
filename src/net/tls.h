/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.h - TLS 1.2 and 1.3 for servers: bytes in, bytes out, no I/O. stream_tls.c puts it
 * under a stream; base/tls_rules.h says what is spoken.
 *
 * The happy path is: tls_context_new, then per connection tls_new, tls_receive with what arrives
 * (handshake answers are appended to `out`) until tls_is_open, tls_receive and tls_send,
 * tls_bye, tls_free. Possible failure modes are: certificate or key cannot be used
 * (tls_context_new tells why); the peer breaks the protocol (tls_receive returns -EPROTO, an alert
 * is in `out`); memory runs out (-ENOMEM). After a failure a session is only freed.
 *
 * Handshakes are computed where tls_receive is called, on the loop: about 2 ms with a P-256 key and
 * 4 ms with RSA 2048. An idle session keeps 34 KiB of record buffers.
 */
#ifndef CORRAL_NET_TLS_H
#define CORRAL_NET_TLS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

#define TLS_RECORD 16384 /* bytes of plain text that a record holds at most */
#define TLS_END    1     /* from tls_receive: the peer has sent close_notify */

struct tls_context; /* a certificate, its key and the rules; counted */
struct tls;         /* one session */

/* Reads both files (PEM; the certificate's chain follows it in its file). Blocking. */
int tls_context_new(struct tls_context **ret, const char *cert_path, const char *key_path,
                    struct error *err);
void tls_context_unref(struct tls_context *c); /* NULL is fine */
/* The answer to a client that speaks a text protocol instead of TLS. Takes over the bytes. */
void tls_context_set_plain_answer(struct tls_context *c, struct buf *answer);

/* Keeps a reference to the context. */
int tls_new(struct tls **ret, struct tls_context *c);
void tls_free(struct tls *t); /* NULL is fine */

/* Takes all of `in`. `plain` gets what was in the records, *ret_len bytes, and has room for `len` +
 * TLS_RECORD. 0, TLS_END or a negative errno; *ret_len is set in every case. */
int tls_receive(struct tls *t, const uint8_t *in, size_t len, uint8_t *plain, size_t *ret_len,
                struct buf *out);
bool tls_is_open(const struct tls *t); /* the handshake is complete */
/* Appends records. -ENOTCONN before the session is open. */
int tls_send(struct tls *t, const void *data, size_t len, struct buf *out);
/* Appends close_notify, once; nothing before the session is open. */
void tls_bye(struct tls *t, struct buf *out);

#endif
