/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws.h - WebSocket (RFC 6455) behind the handshake, for both ends: bytes to messages, messages to
 * bytes. No I/O; the tree's only user of wslay.
 *
 * Pings are answered and a close is confirmed by themselves. Possible failure modes are: the peer
 * breaks the protocol or sends a message over WS_MAX_MESSAGE (a close with the right code goes
 * out, and ws_feed says that it is over).
 */
#ifndef CORRAL_WS_WS_H
#define CORRAL_WS_WS_H

#include <stdbool.h>

#include "base/base.h"

#define WS_MAX_MESSAGE  65536u /* bytes, of the peer */
#define WS_ACCEPT_SIZE  29     /* base64 of a SHA-1, and its end */
#define WS_KEY_SIZE     25     /* base64 of 16 bytes, and its end */
#define WS_CLOSE_NORMAL 1000
#define WS_CLOSE_AWAY   1001
#define WS_CLOSE_POLICY 1008
#define WS_CLOSE_FAILED 1011

struct ws;

struct ws_handler {
    void (*message)(void *ctx, bool is_text, const uint8_t *data, size_t len);
    void (*send)(void *ctx, const uint8_t *data, size_t len); /* bytes for the peer */
    void (*random)(void *ctx, uint8_t *out, size_t len); /* a client's masks; NULL for servers */
};

/* `handler` is kept. NULL when memory ran out. */
struct ws *ws_new(bool is_client, const struct ws_handler *handler, void *ctx);
void ws_free(struct ws *ws); /* NULL is fine */

/* Takes bytes of the peer. 0, or -EPIPE when nothing is to be expected of the peer any more: it has
 * closed or broken the protocol. The answer to that has been sent. */
int ws_feed(struct ws *ws, const uint8_t *data, size_t len);
/* 0, or a negative errno when a close was sent or memory ran out. */
int ws_send(struct ws *ws, bool is_text, const void *data, size_t len);
int ws_ping(struct ws *ws);
/* Says why the connection ends; nothing can be sent afterwards. */
void ws_close(struct ws *ws, uint16_t code, const char *reason);
/* What the peer gave as reason for its close; 0: none. */
uint16_t ws_closed_with(const struct ws *ws);

/* The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key. */
void ws_accept(const char *key, char out[WS_ACCEPT_SIZE]);

#endif
