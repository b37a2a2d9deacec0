/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - one TLS session of an intercepted flow, or none: without TLS the bytes pass as they
 * are. The session pulls and pushes its bytes through functions of its owner.
 *
 * Towards the sandbox it is a server, with a certificate for exactly the name that the flow asked
 * for: a client that names another host, or none, gets no certificate. Towards the network it is a
 * client that believes the bundle of certificate authorities and nothing else. Both speak http/1.1.
 *
 * A TLS session keeps 34 KiB of record buffers.
 */
#ifndef CORRAL_EGRESS_SESSION_H
#define CORRAL_EGRESS_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "egress/leaf.h"

struct session;
struct session_set; /* what all sessions share */

/* `pull`: bytes, 0 at the end, -EAGAIN or another negative errno. `push`: takes all; 0 or an
 * errno. */
struct session_io {
    ssize_t (*pull)(void *ctx, uint8_t *data, size_t len);
    int (*push)(void *ctx, const uint8_t *data, size_t len);
    void *ctx;
};

/* Reads the system's bundle and the file `more`, unless it is NULL. Where neither can be read, no
 * server is believed. */
int session_set_new(struct session_set **ret, const char *more);
/* The CA that signs towards sandboxes. */
int session_set_sign(struct session_set *s, const char *ca_cert, const char *ca_key,
                     struct error *err);
bool session_set_signs(const struct session_set *s); /* a CA has come */

enum session_kind { SESSION_PLAIN, SESSION_SERVER, SESSION_CLIENT };

/* `name` must outlive the session. NULL when memory runs out. */
struct session *session_new(struct session_set *set, enum session_kind kind, const char *name,
                            const struct session_io *io);
void session_free(struct session *s); /* NULL is fine */

/* One step of the handshake, which may take milliseconds. 1: it is complete; 0: call again;
 * -EAGAIN: bytes are needed; -EPROTO. */
int session_shake(struct session *s);
bool session_is_open(const struct session *s);
/* Server: the client has named the host. */
bool session_is_named(const struct session *s);

/* Bytes, 0 at the end, -EAGAIN, -EPROTO, or what `pull` has returned. */
ssize_t session_read(struct session *s, uint8_t *data, size_t len);
/* Whether the end was said, rather than a connection that broke off. */
bool session_ended_well(const struct session *s);
int session_write(struct session *s, const uint8_t *data, size_t len);
void session_bye(struct session *s);

#endif
