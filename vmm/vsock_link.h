/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_link.h - one vsock connection tied to its unix socket: greeting, bytes both ways, back-
 * pressure, the end. Only for vsock_mux.c, which routes packets to it.
 */
#ifndef CORRAL_VMM_VSOCK_LINK_H
#define CORRAL_VMM_VSOCK_LINK_H

#include "vsock_mux.h"

struct vsock_link {
    struct vsock_conn vsock;
    struct vsock_mux *mux;
    struct list link;          /* in mux->conns */
    struct list ready;         /* in mux->ready, or self-linked */
    struct loop_source socket; /* owned fd */
    struct loop_timer timeout;
    struct loop_later reaped;
    bool readable, writable, hung_up;
    bool ended;        /* the client sends no more: what a read says of it counts */
    bool bulk;         /* its last read filled a packet: the next may fill several */
    bool stalled;      /* has been full: room in the socket is an event */
    bool asked_credit; /* once per stall */
};

/* Takes ownership of `fd` unless it returns NULL: too many connections, or no memory. */
struct vsock_link *vsock_link_new(struct vsock_mux *m, int fd, enum vsock_state state,
                                  uint32_t host_port, uint32_t guest_port);
/* Puts the connection in line when it has something for the guest. */
void vsock_link_schedule(struct vsock_link *c);
/* Sets the time-out of its state. */
void vsock_link_wait(struct vsock_link *c);

/* What a packet from the guest asks for. */
void vsock_link_connected(struct vsock_link *c);
void vsock_link_payload(struct vsock_link *c, const struct iovec *iov, size_t n, uint32_t len);
void vsock_link_apply_peer_shut(struct vsock_link *c);
void vsock_link_guest_gone(struct vsock_link *c);

/* Whether the host client may have bytes for the guest. */
bool vsock_link_has_data(const struct vsock_link *c);
/* Reads some of them into `room`, as the payload of one packet, or of several with the same header
 * but for its length: their number in all, 0 when there were none after all. A closing may have
 * become pending then. */
size_t vsock_link_read(struct vsock_link *c, struct virtio_vsock_hdr *h, const struct iovec *room,
                       size_t n);

/* Ends it: silently, or with RST to the guest. The memory lives to the end of the turn. */
void vsock_link_close(struct vsock_link *c);
void vsock_link_reset(struct vsock_link *c);

#endif
