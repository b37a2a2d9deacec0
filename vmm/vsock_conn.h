/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_conn.h - one vsock connection: its states, its credit, the bytes it holds. No I/O.
 *
 *   GREETING --CONNECT line--> REQUESTED --RESPONSE--> OPEN --both sides shut--> CLOSING
 *                                                       ^                           |
 *   guest's REQUEST ------------------------------------+                        RST, time-out
 *                                                                                   v
 *   OPEN --RST while bytes are kept--> DRAINING --all taken--> DEAD
 *   any state --RST, broken rule, time-out, host error---------------------------> DEAD
 *
 *   state      waits for                          at most
 *   GREETING   the host client's CONNECT line     VSOCK_WAIT_MS
 *   REQUESTED  RESPONSE or RST from the guest     VSOCK_WAIT_MS
 *   OPEN       data and credit, either way        -, or VSOCK_DRAIN_MS without progress once
 *                                                 the host client has closed its socket
 *   CLOSING    RST from the guest                 VSOCK_WAIT_MS
 *   DRAINING   the host client to take the rest   VSOCK_DRAIN_MS without progress
 *   DEAD       the end of the turn, to be freed
 *
 * Credit. Towards us: the guest may have `window` bytes in flight that the host client has not
 * taken; more breaks the connection, so the buffer never grows beyond that. The window only widens,
 * since a promise once given is kept. Towards the guest: we
 * send what its last header allows; its figures may be lies and only ever make the room smaller.
 */
#ifndef CORRAL_VMM_VSOCK_CONN_H
#define CORRAL_VMM_VSOCK_CONN_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "base/base.h"

#define VSOCK_SMALL    (8u << 10)   /* the window of a new connection */
#define VSOCK_BUFFER   (128u << 10) /* that of one with much to carry */
#define VSOCK_WAIT_MS  30000u       /* for a guest that hangs; a slow one may need many seconds */
#define VSOCK_DRAIN_MS 60000u
#define VSOCK_MAX_DATA (64u << 10) /* payload of one packet, either way */

enum vsock_state {
    VSOCK_GREETING,
    VSOCK_REQUESTED,
    VSOCK_OPEN,
    VSOCK_CLOSING,
    VSOCK_DRAINING, /* the guest's end is gone, and its ports may be in use again */
    VSOCK_DEAD,
};

/* Packets a connection owes the guest. */
enum vsock_pending {
    VSOCK_SEND_REQUEST = 1,
    VSOCK_SEND_RESPONSE = 2,
    VSOCK_SEND_SHUTDOWN = 4,
    VSOCK_SEND_CREDIT_UPDATE = 8,
    VSOCK_SEND_CREDIT_REQUEST = 16,
};

/* What the owner must do after a packet from the guest. */
enum vsock_action {
    VSOCK_DO_NOTHING,
    VSOCK_DO_CONNECTED, /* tell the host client "OK" */
    VSOCK_DO_DATA,      /* hand the payload on, see vsock_conn_store */
    VSOCK_DO_SHUTDOWN,  /* peer_shut grew */
    VSOCK_DO_CLOSE,     /* the guest has closed: drop it without an answer */
    VSOCK_DO_RESET,     /* the guest broke a rule: drop it and send RST */
};

struct vsock_conn {
    enum vsock_state state;
    uint32_t host_port, guest_port;
    uint32_t pending;              /* enum vsock_pending bits */
    uint32_t own_shut, peer_shut;  /* VIRTIO_VSOCK_SHUTDOWN_RCV | _SEND */
    uint32_t peer_alloc, peer_fwd; /* from the guest's last header */
    uint32_t tx_cnt;               /* bytes sent to the guest */
    uint32_t rx_cnt;               /* bytes received from it */
    uint32_t fwd_cnt;              /* of these, taken by the host client */
    uint32_t told_fwd;             /* fwd_cnt in the last header sent */
    uint32_t window;               /* VSOCK_SMALL or VSOCK_BUFFER */
    uint8_t *ring;                 /* owned; received and not yet taken; NULL while empty */
    uint32_t ring_head, ring_len;
};

void vsock_conn_init(struct vsock_conn *c, enum vsock_state state, uint32_t host_port,
                     uint32_t guest_port);
void vsock_conn_done(struct vsock_conn *c);

/* Judges a packet from the guest and moves the state. */
enum vsock_action vsock_conn_packet(struct vsock_conn *c, const struct virtio_vsock_hdr *h);

/* Bytes that may be sent to the guest now. */
uint32_t vsock_conn_room(const struct vsock_conn *c);
void vsock_conn_sent(struct vsock_conn *c, uint32_t len);

/* After VSOCK_DO_DATA: keeps `len` bytes from `offset` of the payload. 0 or -ENOMEM. */
int vsock_conn_store(struct vsock_conn *c, const struct iovec *iov, size_t n, size_t offset,
                     uint32_t len);
/* The kept bytes as one or two pieces; returns their number. */
size_t vsock_conn_stored(const struct vsock_conn *c, struct iovec out[2]);
/* The host client took `len` bytes; `stored` says that they were kept ones. May make a credit
 * update pending. */
void vsock_conn_forwarded(struct vsock_conn *c, uint32_t len, bool stored);

/* Whether a wider window would help: much has come and all of it was taken. */
bool vsock_conn_is_tight(const struct vsock_conn *c);
void vsock_conn_widen(struct vsock_conn *c);

/* Takes the most urgent pending packet and fills op, flags and credit of the header; false when
 * none is pending. */
bool vsock_conn_next(struct vsock_conn *c, struct virtio_vsock_hdr *h);
/* Addresses and credit of any packet of this connection. */
void vsock_conn_header(struct vsock_conn *c, struct virtio_vsock_hdr *h, uint16_t op);

#endif
