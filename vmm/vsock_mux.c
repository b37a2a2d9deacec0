/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_mux.c - routes packets to connections, and takes connections that want to send in turn.
 *
 * The mux knows connections by their two ports and calls into vsock_link.c; a link calls back for
 * one thing only, an RST it owes when it is gone (vsock_mux_add_reset), and puts itself into
 * `ready`. The two are one state machine in two files: the many, and the one.
 *
 * `ready` is a queue: a connection sends one packet, or one burst, and goes to its end while it has
 * more, so none can starve another. Memory is bounded by VSOCK_MAX_CONNS; a client beyond that is
 * closed, a guest's request is answered with RST.
 */
#include "vsock_mux.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vsock_link.h"

#define MUX_FIRST_PORT (1u << 30)

static void mux_accept(struct loop_source *s, uint32_t events);

int vsock_mux_init(struct vsock_mux *m, struct loop *loop, int fd, const char *path,
                   void (*pending)(void *ctx), void *ctx)
{
    *m = (struct vsock_mux){
        .loop = loop,
        .path = path,
        .pending = pending,
        .ctx = ctx,
        .listener = {.fd = fd, .ready = mux_accept},
        .next_port = MUX_FIRST_PORT,
    };
    list_init(&m->conns);
    list_init(&m->ready);
    return fd < 0 ? 0 : loop_add(loop, &m->listener, EPOLLIN);
}

int vsock_mux_set_next_port(struct vsock_mux *m, uint32_t next_port)
{
    if (next_port < MUX_FIRST_PORT || next_port == UINT32_MAX)
        return -EINVAL;
    m->next_port = next_port;
    return 0;
}

void vsock_mux_add_reset(struct vsock_mux *m, uint32_t host_port, uint32_t guest_port)
{
    if (m->resets == VSOCK_MAX_RESETS)
        return; /* the guest's own time-outs deal with the rest */
    m->reset[m->resets].host_port = host_port;
    m->reset[m->resets++].guest_port = guest_port;
    m->pending(m->ctx);
}

/* From the host. */

static uint32_t mux_free_port(struct vsock_mux *m)
{
    /* Ports repeat only after 2^30 connections; none lives that long beside so many. */
    uint32_t port = m->next_port++;
    if (m->next_port == UINT32_MAX)
        m->next_port = MUX_FIRST_PORT;
    return port;
}

static void mux_accept(struct loop_source *s, uint32_t events)
{
    struct vsock_mux *m = container_of(s, struct vsock_mux, listener);
    (void)events;
    int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct vsock_link *c = vsock_link_new(m, fd, VSOCK_GREETING, mux_free_port(m), 0);
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    vsock_link_wait(c);
}

/* From the guest. */

static struct vsock_link *mux_find(struct vsock_mux *m, uint32_t host_port, uint32_t guest_port)
{
    list_for_each (it, &m->conns) {
        struct vsock_link *c = list_entry(it, struct vsock_link, link);
        if (c->vsock.host_port == host_port && c->vsock.guest_port == guest_port &&
            /* A greeting has no guest port yet; a draining one is dead to the guest, which may use
             * its ports again. */
            c->vsock.state != VSOCK_GREETING && c->vsock.state != VSOCK_DRAINING) {
            /* Packets of a connection come in runs. */
            list_del(&c->link);
            list_add_head(&m->conns, &c->link);
            return c;
        }
    }
    return NULL;
}

static int mux_connect_host(const struct vsock_mux *m, uint32_t port)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int len = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_%u", m->path, port);
    if (len < 0 || (size_t)len >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* A unix socket connects at once or not at all: when its backlog is full it is EAGAIN, and the
     * guest gets an RST. */
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* A guest asks for a connection to port P of the host: it becomes a connection to the socket of
 * that name. */
static void mux_request(struct vsock_mux *m, const struct virtio_vsock_hdr *h)
{
    int fd = m->count < VSOCK_MAX_CONNS ? mux_connect_host(m, h->dst_port) : -ENFILE;
    struct vsock_link *c = fd < 0 ? NULL
                                  : vsock_link_new(m, fd, VSOCK_OPEN, h->dst_port, h->src_port);
    if (c == NULL) {
        if (fd >= 0)
            (void)close(fd);
        vsock_mux_add_reset(m, h->dst_port, h->src_port);
        return;
    }
    c->vsock.peer_alloc = h->buf_alloc;
    c->vsock.peer_fwd = h->fwd_cnt;
    c->vsock.pending |= VSOCK_SEND_RESPONSE;
    c->writable = true;
    vsock_link_schedule(c);
}

void vsock_mux_receive(struct vsock_mux *m, const struct virtio_vsock_hdr *h,
                       const struct iovec *iov, size_t n)
{
    struct vsock_link *c = NULL;
    if (h->type == VIRTIO_VSOCK_TYPE_STREAM)
        c = mux_find(m, h->dst_port, h->src_port);
    if (c == NULL) {
        if (h->type == VIRTIO_VSOCK_TYPE_STREAM && h->op == VIRTIO_VSOCK_OP_REQUEST)
            mux_request(m, h);
        /* An RST is never answered with an RST. */
        else if (h->op != VIRTIO_VSOCK_OP_RST)
            vsock_mux_add_reset(m, h->dst_port, h->src_port);
        return;
    }
    c->asked_credit = false;
    switch (vsock_conn_packet(&c->vsock, h)) {
    case VSOCK_DO_NOTHING:
        break;
    case VSOCK_DO_CONNECTED:
        vsock_link_connected(c);
        break;
    case VSOCK_DO_DATA:
        vsock_link_payload(c, iov, n, h->len);
        break;
    case VSOCK_DO_SHUTDOWN:
        vsock_link_apply_peer_shut(c);
        break;
    case VSOCK_DO_CLOSE:
        vsock_link_guest_gone(c);
        break;
    case VSOCK_DO_RESET:
        vsock_link_reset(c);
        break;
    }
    vsock_link_schedule(c);
}

/* To the guest. */

bool vsock_mux_has_packet(const struct vsock_mux *m)
{
    return m->resets > 0 || !list_empty(&m->ready);
}

static bool mux_next_reset(struct vsock_mux *m, struct virtio_vsock_hdr *h)
{
    if (m->resets == 0)
        return false;
    m->resets--;
    *h = (struct virtio_vsock_hdr){
        .src_port = m->reset[0].host_port,
        .dst_port = m->reset[0].guest_port,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = VIRTIO_VSOCK_OP_RST,
    };
    memmove(m->reset, m->reset + 1, m->resets * sizeof(m->reset[0]));
    return true;
}

/* One packet of the connection: what it owes, or else bytes of its client. */
static bool mux_next_of(struct vsock_link *c, struct virtio_vsock_hdr *h, const struct iovec *room,
                        size_t n)
{
    if (vsock_conn_next(&c->vsock, h))
        return true;
    size_t len = vsock_link_has_data(c) ? vsock_link_read(c, h, room, n) : 0;
    if (len == 0)
        return vsock_conn_next(&c->vsock, h); /* it ended */
    h->len = (uint32_t)len;
    return true;
}

bool vsock_mux_next(struct vsock_mux *m, struct virtio_vsock_hdr *h, const struct iovec *room,
                    size_t n)
{
    bool found = mux_next_reset(m, h);
    while (!found && !list_empty(&m->ready)) {
        struct vsock_link *c = list_first(&m->ready, struct vsock_link, ready);
        list_del(&c->ready);
        found = mux_next_of(c, h, room, n);
        vsock_link_schedule(c); /* to the end of the line when there is more */
    }
    return found;
}

bool vsock_mux_is_bulk(const struct vsock_mux *m)
{
    if (m->resets > 0 || list_empty(&m->ready))
        return false;
    const struct vsock_link *c = list_first(&m->ready, struct vsock_link, ready);
    return c->bulk && c->vsock.pending == 0 && vsock_link_has_data(c);
}

size_t vsock_mux_burst(struct vsock_mux *m, struct virtio_vsock_hdr *h, const struct iovec *room,
                       size_t n)
{
    if (!vsock_mux_is_bulk(m))
        return 0;
    struct vsock_link *c = list_first(&m->ready, struct vsock_link, ready);
    list_del(&c->ready);
    size_t len = vsock_link_read(c, h, room, n);
    vsock_link_schedule(c);
    return len;
}

void vsock_mux_reset(struct vsock_mux *m)
{
    list_for_each_safe (it, &m->conns)
        vsock_link_close(list_entry(it, struct vsock_link, link));
    m->resets = 0;
}

void vsock_mux_done(struct vsock_mux *m)
{
    vsock_mux_reset(m);
    loop_del(m->loop, &m->listener);
    if (m->listener.fd >= 0)
        (void)close(m->listener.fd);
    m->listener.fd = -1;
}
