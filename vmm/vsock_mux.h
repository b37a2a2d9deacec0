/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_mux.h - between the guest's vsock packets and unix sockets on the host.
 *
 * Host to guest: a client connects to `vsock.sock` and writes "CONNECT <port>\n"; the answer is
 * "OK <n>\n", or the end of the stream when nobody listens. Guest to host: a connection to host
 * port P becomes a connection to the socket `vsock.sock_P`.
 *
 * Bounded: VSOCK_MAX_CONNS connections in all, VSOCK_SMALL bytes kept for each and VSOCK_BUFFER for
 * VSOCK_MAX_WIDE of them, VSOCK_MAX_RESETS answers to packets that belong to no connection. The
 * kernel keeps bytes that a client does not take as well, on the VM's account: twice what a socket
 * is told, and one piece. Together that must stay below what the VM's control group has beside the
 * guest's memory, 64 MiB: a VM whose clients do not read ends otherwise.
 */
#ifndef CORRAL_VMM_VSOCK_MUX_H
#define CORRAL_VMM_VSOCK_MUX_H

#include "loop.h"
#include "vsock_conn.h"

/* 512 flows and a few resolvers of the sandbox, and the operations of the server. */
#define VSOCK_MAX_CONNS  832u
#define VSOCK_MAX_WIDE   64u
#define VSOCK_MAX_RESETS 64u
/* Bytes of kernel memory for a connection with this window, at most. */
#define VSOCK_KERNEL(window) (2 * (window) + 4096u)
#define VSOCK_SNDBUF(window) ((window) / 2) /* of its socket */
#define VSOCK_HOST_CID       2u

struct vsock_mux {
    struct loop *loop;
    const char *path;           /* of vsock.sock, relative to the working directory; not owned */
    void (*pending)(void *ctx); /* there is something for the guest */
    void *ctx;
    struct loop_source listener; /* owned fd */
    struct list conns, ready;    /* all; those with something for the guest */
    uint32_t count;
    uint32_t wide;      /* of these, with the wide window */
    uint32_t next_port; /* on our side of the next connection from the host */
    struct {
        uint32_t host_port, guest_port;
    } reset[VSOCK_MAX_RESETS];
    uint32_t resets;
    uint64_t to_guest, to_host; /* payload bytes since start */
};

/* Takes ownership of the listening socket `fd` (-1: no connections from the host). `path` must live
 * as long as the mux. */
int vsock_mux_init(struct vsock_mux *m, struct loop *loop, int fd, const char *path,
                   void (*pending)(void *ctx), void *ctx);
void vsock_mux_done(struct vsock_mux *m);
/* Ends every connection; the listener stays. */
void vsock_mux_reset(struct vsock_mux *m);
/* After a restore: continues with the origin's `next_port`. Linux keeps a socket under its two
 * ports, reset or not, until its owner closes it, and refuses a new connection with the same ports.
 * So a clone must not reuse its origin's. -EINVAL: no such port. */
int vsock_mux_set_next_port(struct vsock_mux *m, uint32_t next_port);

/* A packet from the guest; h->len has been checked to be the bytes in `iov`. */
void vsock_mux_receive(struct vsock_mux *m, const struct virtio_vsock_hdr *h,
                       const struct iovec *iov, size_t n);

/* Owes the guest an RST for a connection that does not exist (any more). */
void vsock_mux_add_reset(struct vsock_mux *m, uint32_t host_port, uint32_t guest_port);

bool vsock_mux_has_packet(const struct vsock_mux *m);
/* The next packet for the guest, its payload read straight into the `n` parts of `room`, at most
 * VSOCK_MAX_DATA bytes. True when there was one; the cid fields are left to the caller. */
bool vsock_mux_next(struct vsock_mux *m, struct virtio_vsock_hdr *h, const struct iovec *room,
                    size_t n);
/* Whether the next packet is likely to be one of many of its connection. Then vsock_mux_burst reads
 * the payload of up to `n` of them by one system call, each filling its `room` but for the last:
 * the bytes of all. Their headers are `h` but for its length. 0: it was not so. */
bool vsock_mux_is_bulk(const struct vsock_mux *m);
size_t vsock_mux_burst(struct vsock_mux *m, struct virtio_vsock_hdr *h, const struct iovec *room,
                       size_t n);

#endif
