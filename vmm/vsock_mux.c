/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket is watched once, edge-triggered: `readable` and `writable` remember that it may have
 * more, until a call says EAGAIN. So a connection costs one epoll_ctl in its life.
 */
#include "vsock_mux.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "iov.h"

#define MUX_FIRST_PORT (1u << 30)
#define MUX_GREETING   24u /* bytes: "CONNECT 4294967295\n" and some slack */
#define NS_PER_MS      1000000ull

struct mux_conn {
    struct vsock_conn vsock;
    struct vsock_mux *mux;
    struct list link;          /* in mux->conns */
    struct list ready;         /* in mux->ready, or self-linked */
    struct loop_source socket; /* owned fd */
    struct loop_timer timeout;
    struct loop_later reaped;
    bool readable, writable, hung_up;
    bool asked_credit; /* once per stall */
};

static void mux_accept(struct loop_source *s, uint32_t events);
static void conn_socket_ready(struct loop_source *s, uint32_t events);
static void conn_timed_out(struct loop_timer *t);

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

/* The life of a connection. */

static struct mux_conn *conn_new(struct vsock_mux *m, int fd, enum vsock_state state,
                                 uint32_t host_port, uint32_t guest_port)
{
    if (m->count == VSOCK_MAX_CONNS)
        return NULL;
    struct mux_conn *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->mux = m;
    c->socket = (struct loop_source){.fd = fd, .ready = conn_socket_ready};
    if (loop_add(m->loop, &c->socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
        free(c);
        return NULL;
    }
    vsock_conn_init(&c->vsock, state, host_port, guest_port);
    loop_timer_init(&c->timeout, conn_timed_out);
    list_init(&c->ready);
    list_add_tail(&m->conns, &c->link);
    m->count++;
    return c;
}

static void conn_reap(struct loop_later *l)
{
    free(container_of(l, struct mux_conn, reaped));
}

static void conn_close(struct mux_conn *c)
{
    struct vsock_mux *m = c->mux;
    if (c->vsock.state == VSOCK_DEAD)
        return;
    vsock_conn_done(&c->vsock);
    loop_timer_stop(&c->timeout);
    list_del(&c->link);
    list_del(&c->ready);
    m->count--;
    (void)close(c->socket.fd); /* leaves the epoll set with it */
    c->socket.fd = -1;
    loop_later(m->loop, &c->reaped, conn_reap);
}

static void mux_want(struct vsock_mux *m)
{
    m->pending(m->ctx);
}

static void mux_add_reset(struct vsock_mux *m, uint32_t host_port, uint32_t guest_port)
{
    if (m->resets == VSOCK_MAX_RESETS)
        return; /* the guest's own time-outs deal with the rest */
    m->reset[m->resets].host_port = host_port;
    m->reset[m->resets++].guest_port = guest_port;
    mux_want(m);
}

static void conn_reset(struct mux_conn *c)
{
    if (c->vsock.state != VSOCK_DRAINING)
        mux_add_reset(c->mux, c->vsock.host_port, c->vsock.guest_port);
    conn_close(c);
}

static bool conn_has_data(const struct mux_conn *c)
{
    return c->readable && c->vsock.state == VSOCK_OPEN &&
           (c->vsock.own_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) == 0;
}

/* Puts the connection in line when it has something for the guest. */
static void conn_schedule(struct mux_conn *c)
{
    if (c->vsock.state == VSOCK_DEAD || c->ready.next != &c->ready)
        return;
    bool data = conn_has_data(c);
    if (data && vsock_conn_room(&c->vsock) == 0) {
        data = false;
        if (!c->asked_credit)
            c->vsock.pending |= VSOCK_SEND_CREDIT_REQUEST;
        c->asked_credit = true;
    }
    if (c->vsock.pending == 0 && !data)
        return;
    list_add_tail(&c->mux->ready, &c->ready);
    mux_want(c->mux);
}

static void conn_wait(struct mux_conn *c)
{
    uint64_t ms = c->vsock.state == VSOCK_DRAINING ? VSOCK_DRAIN_MS : VSOCK_WAIT_MS;
    loop_timer_set(c->mux->loop, &c->timeout, ms * NS_PER_MS);
}

static void conn_timed_out(struct loop_timer *t)
{
    struct mux_conn *c = container_of(t, struct mux_conn, timeout);
    if (c->vsock.state == VSOCK_GREETING)
        conn_close(c);
    else
        conn_reset(c);
}

/* Announces that no more bytes will come (or be taken); both ends shut starts the closing. */
static void conn_shut(struct mux_conn *c, uint32_t how)
{
    if (c->vsock.state != VSOCK_OPEN || (c->vsock.own_shut & how) == how)
        return;
    c->vsock.own_shut |= how;
    c->vsock.pending |= VSOCK_SEND_SHUTDOWN;
    if (c->vsock.own_shut == (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)) {
        c->vsock.state = VSOCK_CLOSING;
        conn_wait(c);
    }
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
    struct mux_conn *c = conn_new(m, fd, VSOCK_GREETING, mux_free_port(m), 0);
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    conn_wait(c);
}

/* The port in a whole greeting line, or -1. */
static int64_t mux_parse_greeting(const char *line, size_t len)
{
    static const char verb[] = "CONNECT ";
    size_t i = sizeof(verb) - 1;
    uint64_t port = 0;
    if (len < i + 2 || memcmp(line, verb, i) != 0)
        return -1;
    for (; i < len - 1; i++) {
        if (line[i] < '0' || line[i] > '9')
            return -1;
        port = port * 10 + (uint64_t)(line[i] - '0');
        if (port > UINT32_MAX)
            return -1;
    }
    return (int64_t)port;
}

/* Takes the greeting and not one byte of what follows. */
static void conn_greet(struct mux_conn *c)
{
    char line[MUX_GREETING];
    ssize_t got = recv(c->socket.fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    const char *end = got > 0 ? memchr(line, '\n', (size_t)got) : NULL;
    if (end == NULL) {
        if (got <= 0 || got == sizeof(line))
            conn_close(c);
        return;
    }
    size_t len = (size_t)(end - line) + 1;
    int64_t port = mux_parse_greeting(line, len);
    if (port < 0 || recv(c->socket.fd, line, len, MSG_DONTWAIT) != (ssize_t)len) {
        conn_close(c);
        return;
    }
    c->vsock.guest_port = (uint32_t)port;
    c->vsock.state = VSOCK_REQUESTED;
    c->vsock.pending |= VSOCK_SEND_REQUEST;
    conn_wait(c);
}

static void conn_connected(struct mux_conn *c)
{
    char line[MUX_GREETING];
    int len = snprintf(line, sizeof(line), "OK %u\n", c->vsock.host_port);
    loop_timer_stop(&c->timeout);
    /* The socket is empty: a failure means that the client has gone. */
    if (send(c->socket.fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        conn_reset(c);
}

/* Bytes from the guest on their way to the host client. */

static ssize_t conn_send(const struct mux_conn *c, const struct iovec *iov, size_t n)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n};
    ssize_t sent = sendmsg(c->socket.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

/* After the last byte has gone out: passes the guest's shutdown on. */
static void conn_apply_peer_shut(struct mux_conn *c)
{
    uint32_t both = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
    if (c->vsock.ring_len > 0 || c->vsock.peer_shut == 0)
        return;
    if (c->vsock.peer_shut == both) {
        conn_reset(c);
        return;
    }
    bool sends = (c->vsock.peer_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
    (void)shutdown(c->socket.fd, sends ? SHUT_WR : SHUT_RD);
}

static void conn_flush(struct mux_conn *c)
{
    struct iovec iov[2];
    size_t n;
    while (c->writable && (n = vsock_conn_stored(&c->vsock, iov)) > 0) {
        ssize_t sent = conn_send(c, iov, n);
        if (sent == -EAGAIN) {
            c->writable = false;
        } else if (sent < 0) {
            conn_reset(c);
            return;
        } else {
            vsock_conn_forwarded(&c->vsock, (uint32_t)sent, true);
        }
    }
    if (c->vsock.state != VSOCK_DRAINING)
        conn_apply_peer_shut(c);
    else if (c->vsock.ring_len == 0)
        conn_close(c);
    else
        conn_wait(c);
}

/* The guest has ended the connection; a slow client still gets every byte it sent. */
static void conn_guest_gone(struct mux_conn *c)
{
    if (c->vsock.ring_len == 0) {
        conn_close(c);
        return;
    }
    c->vsock.state = VSOCK_DRAINING;
    c->vsock.pending = 0;
    conn_wait(c);
}

static void conn_payload(struct mux_conn *c, const struct iovec *iov, size_t n, uint32_t len)
{
    uint32_t sent = 0;
    c->mux->to_host += len;
    if (c->writable && c->vsock.ring_len == 0) {
        ssize_t rv = conn_send(c, iov, n);
        if (rv < 0 && rv != -EAGAIN) {
            conn_reset(c);
            return;
        }
        sent = rv < 0 ? 0 : (uint32_t)rv;
        if (sent < len)
            c->writable = false;
        vsock_conn_forwarded(&c->vsock, sent, false);
    }
    if (sent < len && vsock_conn_store(&c->vsock, iov, n, sent, len - sent) < 0)
        conn_reset(c);
}

static void conn_socket_ready(struct loop_source *s, uint32_t events)
{
    struct mux_conn *c = container_of(s, struct mux_conn, socket);
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0)
        c->readable = true;
    if ((events & EPOLLOUT) != 0)
        c->writable = true;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0)
        c->readable = c->hung_up = true;
    if (c->vsock.state == VSOCK_GREETING && c->readable)
        conn_greet(c);
    else if (c->vsock.state == VSOCK_REQUESTED && c->hung_up)
        conn_reset(c); /* the client gave up: the guest must not accept a dead connection */
    else if ((c->vsock.state == VSOCK_OPEN || c->vsock.state == VSOCK_DRAINING) && c->writable)
        conn_flush(c);
    conn_schedule(c);
}

/* From the guest. */

static struct mux_conn *mux_find(struct vsock_mux *m, uint32_t host_port, uint32_t guest_port)
{
    list_for_each (it, &m->conns) {
        struct mux_conn *c = list_entry(it, struct mux_conn, link);
        if (c->vsock.host_port == host_port && c->vsock.guest_port == guest_port &&
            c->vsock.state != VSOCK_GREETING && c->vsock.state != VSOCK_DRAINING)
            return c;
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
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void mux_request(struct vsock_mux *m, const struct virtio_vsock_hdr *h)
{
    int fd = m->count < VSOCK_MAX_CONNS ? mux_connect_host(m, h->dst_port) : -ENFILE;
    struct mux_conn *c = fd < 0 ? NULL : conn_new(m, fd, VSOCK_OPEN, h->dst_port, h->src_port);
    if (c == NULL) {
        if (fd >= 0)
            (void)close(fd);
        mux_add_reset(m, h->dst_port, h->src_port);
        return;
    }
    c->vsock.peer_alloc = h->buf_alloc;
    c->vsock.peer_fwd = h->fwd_cnt;
    c->vsock.pending |= VSOCK_SEND_RESPONSE;
    c->writable = true;
    conn_schedule(c);
}

void vsock_mux_receive(struct vsock_mux *m, const struct virtio_vsock_hdr *h,
                       const struct iovec *iov, size_t n)
{
    struct mux_conn *c = NULL;
    if (h->type == VIRTIO_VSOCK_TYPE_STREAM)
        c = mux_find(m, h->dst_port, h->src_port);
    if (c == NULL) {
        if (h->type == VIRTIO_VSOCK_TYPE_STREAM && h->op == VIRTIO_VSOCK_OP_REQUEST)
            mux_request(m, h);
        else if (h->op != VIRTIO_VSOCK_OP_RST)
            mux_add_reset(m, h->dst_port, h->src_port);
        return;
    }
    c->asked_credit = false;
    switch (vsock_conn_packet(&c->vsock, h)) {
    case VSOCK_DO_NOTHING:
        break;
    case VSOCK_DO_CONNECTED:
        conn_connected(c);
        break;
    case VSOCK_DO_DATA:
        conn_payload(c, iov, n, h->len);
        break;
    case VSOCK_DO_SHUTDOWN:
        conn_apply_peer_shut(c);
        break;
    case VSOCK_DO_CLOSE:
        conn_guest_gone(c);
        break;
    case VSOCK_DO_RESET:
        conn_reset(c);
        break;
    }
    conn_schedule(c);
}

/* To the guest. */

bool vsock_mux_has_packet(const struct vsock_mux *m)
{
    return m->resets > 0 || !list_empty(&m->ready);
}

/* Reads payload for one packet. False when there was none after all. */
static bool conn_read(struct mux_conn *c, struct virtio_vsock_hdr *h, const struct iovec *room,
                      size_t n, size_t room_len)
{
    struct iovec part[64];
    size_t len = MIN(MIN(room_len, (size_t)vsock_conn_room(&c->vsock)), (size_t)VSOCK_MAX_DATA);
    if (len == 0)
        return false;
    size_t parts = iov_slice(room, MIN(n, ARRAY_SIZE(part)), 0, len, part);
    ssize_t got = readv(c->socket.fd, part, (int)parts);
    if (got > 0) {
        vsock_conn_header(&c->vsock, h, VIRTIO_VSOCK_OP_RW);
        h->len = (uint32_t)got;
        vsock_conn_sent(&c->vsock, (uint32_t)got);
        c->mux->to_guest += (uint64_t)got;
        return true;
    }
    if (got < 0 && errno == EINTR)
        return false;
    c->readable = false;
    if (got < 0 && errno == EAGAIN)
        return false;
    uint32_t how = VIRTIO_VSOCK_SHUTDOWN_SEND;
    if (got < 0 || c->hung_up)
        how |= VIRTIO_VSOCK_SHUTDOWN_RCV;
    conn_shut(c, how);
    return vsock_conn_next(&c->vsock, h);
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

bool vsock_mux_next(struct vsock_mux *m, struct virtio_vsock_hdr *h, const struct iovec *room,
                    size_t n, size_t room_len)
{
    bool found = mux_next_reset(m, h);
    while (!found && !list_empty(&m->ready)) {
        struct mux_conn *c = list_first(&m->ready, struct mux_conn, ready);
        list_del(&c->ready);
        found = vsock_conn_next(&c->vsock, h);
        if (!found && conn_has_data(c))
            found = conn_read(c, h, room, n, room_len);
        conn_schedule(c); /* to the end of the line when there is more */
    }
    return found;
}

void vsock_mux_reset(struct vsock_mux *m)
{
    list_for_each_safe (it, &m->conns)
        conn_close(list_entry(it, struct mux_conn, link));
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
