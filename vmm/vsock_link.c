/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_link.c - a connection's unix socket: greeting, bytes both ways, back-pressure, the end.
 *
 * To the guest: when the socket is readable and there is credit, the link stands in the mux's
 * queue; the mux calls vsock_link_read with room in guest memory, of one packet or of several. No
 * credit: it asks the guest once, and the guest's next packet puts it back in line. From the guest:
 * vsock_link_payload sends at once what the socket takes and keeps the rest, at most one credit's
 * worth, for link_flush. A slow client thus stops the guest's sender and nothing else.
 *
 * The end: each side may shut one direction (link_shut, vsock_link_apply_peer_shut). Whatever goes
 * wrong on one side is an RST to the guest or a closed socket to the client. A link is freed at the
 * end of the loop's turn, as an event for it may be in the same batch.
 *
 * A socket is watched once, edge-triggered: `readable` and `writable` remember that it may have
 * more, until a call says EAGAIN. Room is watched for only from the first time that there was none:
 * otherwise each answer would wake the loop once more, when its client takes it. So most
 * connections cost one epoll_ctl in their lives, and the others two.
 */
#include "vsock_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "iov.h"

#define LINK_PARTS    64  /* of guest memory, for one read */
#define LINK_GREETING 24u /* bytes: "CONNECT 4294967295\n" and some slack */
#define LINK_EVENTS   (EPOLLIN | EPOLLRDHUP | EPOLLET)
#define NS_PER_MS     1000000ull

static void link_socket_ready(struct loop_source *s, uint32_t events);
static void link_timed_out(struct loop_timer *t);

/* The life of a connection. */

/* The kernel doubles it, and lets one piece more in. */
static void link_limit(const struct vsock_link *c)
{
    int bytes = (int)VSOCK_SNDBUF(c->vsock.window);
    (void)setsockopt(c->socket.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

struct vsock_link *vsock_link_new(struct vsock_mux *m, int fd, enum vsock_state state,
                                  uint32_t host_port, uint32_t guest_port)
{
    if (m->count == VSOCK_MAX_CONNS)
        return NULL;
    struct vsock_link *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->mux = m;
    c->socket = (struct loop_source){.fd = fd, .ready = link_socket_ready};
    c->writable = true;
    if (loop_add(m->loop, &c->socket, LINK_EVENTS) < 0) {
        free(c);
        return NULL;
    }
    vsock_conn_init(&c->vsock, state, host_port, guest_port);
    link_limit(c);
    loop_timer_init(&c->timeout, link_timed_out);
    list_init(&c->ready);
    list_add_tail(&m->conns, &c->link);
    m->count++;
    return c;
}

static void link_widen(struct vsock_link *c)
{
    if (c->mux->wide == VSOCK_MAX_WIDE || !vsock_conn_is_tight(&c->vsock))
        return;
    c->mux->wide++;
    vsock_conn_widen(&c->vsock);
    link_limit(c);
}

static void link_reap(struct loop_later *l)
{
    free(container_of(l, struct vsock_link, reaped));
}

void vsock_link_close(struct vsock_link *c)
{
    struct vsock_mux *m = c->mux;
    if (c->vsock.state == VSOCK_DEAD)
        return;
    if (c->vsock.window == VSOCK_BUFFER)
        m->wide--;
    vsock_conn_done(&c->vsock);
    loop_timer_stop(&c->timeout);
    list_del(&c->link);
    list_del(&c->ready);
    m->count--;
    (void)close(c->socket.fd); /* leaves the epoll set with it */
    c->socket.fd = -1;
    loop_later(m->loop, &c->reaped, link_reap);
}

void vsock_link_reset(struct vsock_link *c)
{
    if (c->vsock.state != VSOCK_DRAINING)
        vsock_mux_add_reset(c->mux, c->vsock.host_port, c->vsock.guest_port);
    vsock_link_close(c);
}

bool vsock_link_has_data(const struct vsock_link *c)
{
    return c->readable && c->vsock.state == VSOCK_OPEN &&
           (c->vsock.own_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) == 0;
}

/* Puts the connection in line when it has something for the guest. */
void vsock_link_schedule(struct vsock_link *c)
{
    if (c->vsock.state == VSOCK_DEAD || c->ready.next != &c->ready)
        return;
    bool data = vsock_link_has_data(c);
    if (data && vsock_conn_room(&c->vsock) == 0) {
        data = false;
        if (!c->asked_credit)
            c->vsock.pending |= VSOCK_SEND_CREDIT_REQUEST;
        c->asked_credit = true;
    }
    if (c->vsock.pending == 0 && !data)
        return;
    list_add_tail(&c->mux->ready, &c->ready);
    c->mux->pending(c->mux->ctx);
}

void vsock_link_wait(struct vsock_link *c)
{
    bool delivers = c->vsock.state == VSOCK_DRAINING || c->vsock.state == VSOCK_OPEN;
    uint64_t ms = delivers ? VSOCK_DRAIN_MS : VSOCK_WAIT_MS;
    loop_timer_set(c->mux->loop, &c->timeout, ms * NS_PER_MS);
}

static void link_timed_out(struct loop_timer *t)
{
    struct vsock_link *c = container_of(t, struct vsock_link, timeout);
    if (c->vsock.state == VSOCK_GREETING)
        vsock_link_close(c);
    else
        vsock_link_reset(c);
}

/* Announces that no more bytes will come (or be taken); both ends shut starts the closing. */
static void link_shut(struct vsock_link *c, uint32_t how)
{
    if (c->vsock.state != VSOCK_OPEN || (c->vsock.own_shut & how) == how)
        return;
    c->vsock.own_shut |= how;
    c->vsock.pending |= VSOCK_SEND_SHUTDOWN;
    if (c->vsock.own_shut == (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)) {
        c->vsock.state = VSOCK_CLOSING;
        vsock_link_wait(c);
    }
}

/* The port in a whole greeting line, or -1. */
static int64_t link_parse_greeting(const char *line, size_t len)
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
static void link_greet(struct vsock_link *c)
{
    char line[LINK_GREETING];
    ssize_t got = recv(c->socket.fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    const char *end = got > 0 ? memchr(line, '\n', (size_t)got) : NULL;
    if (end == NULL) {
        if (got <= 0 || got == sizeof(line))
            vsock_link_close(c);
        return;
    }
    size_t len = (size_t)(end - line) + 1;
    int64_t port = link_parse_greeting(line, len);
    if (port < 0 || recv(c->socket.fd, line, len, MSG_DONTWAIT) != (ssize_t)len) {
        vsock_link_close(c);
        return;
    }
    c->vsock.guest_port = (uint32_t)port;
    c->vsock.state = VSOCK_REQUESTED;
    c->vsock.pending |= VSOCK_SEND_REQUEST;
    vsock_link_wait(c);
}

void vsock_link_connected(struct vsock_link *c)
{
    char line[LINK_GREETING];
    int len = snprintf(line, sizeof(line), "OK %u\n", c->vsock.host_port);
    loop_timer_stop(&c->timeout);
    /* The socket is empty: a failure means that the client has gone. */
    if (send(c->socket.fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        vsock_link_reset(c);
}

/* Bytes from the guest on their way to the host client. */

/* The socket is full. Room that came before it is watched for is an event, too. */
static void link_stall(struct vsock_link *c)
{
    c->writable = false;
    if (!c->stalled && loop_change(c->mux->loop, &c->socket, LINK_EVENTS | EPOLLOUT) < 0)
        vsock_link_reset(c);
    c->stalled = true;
}

static ssize_t link_send(const struct vsock_link *c, const struct iovec *iov, size_t n)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n};
    ssize_t sent = sendmsg(c->socket.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

/* After the last byte has gone out: passes the guest's shutdown on. */
void vsock_link_apply_peer_shut(struct vsock_link *c)
{
    uint32_t both = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
    if (c->vsock.ring_len > 0 || c->vsock.peer_shut == 0)
        return;
    if (c->vsock.peer_shut == both) {
        vsock_link_reset(c);
        return;
    }
    bool sends = (c->vsock.peer_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
    (void)shutdown(c->socket.fd, sends ? SHUT_WR : SHUT_RD);
}

static void link_flush(struct vsock_link *c)
{
    struct iovec iov[2];
    size_t n;
    while (c->writable && (n = vsock_conn_stored(&c->vsock, iov)) > 0) {
        ssize_t sent = link_send(c, iov, n);
        if (sent == -EAGAIN) {
            link_stall(c);
        } else if (sent < 0) {
            vsock_link_reset(c);
            return;
        } else {
            vsock_conn_forwarded(&c->vsock, (uint32_t)sent, true);
        }
    }
    if (c->vsock.state == VSOCK_DEAD)
        return;
    link_widen(c);
    if (c->vsock.state != VSOCK_DRAINING)
        vsock_link_apply_peer_shut(c);
    else if (c->vsock.ring_len == 0)
        vsock_link_close(c);
    else
        vsock_link_wait(c);
}

/* The guest has ended the connection; a slow client still gets every byte it sent. */
void vsock_link_guest_gone(struct vsock_link *c)
{
    if (c->vsock.ring_len == 0) {
        vsock_link_close(c);
        return;
    }
    c->vsock.state = VSOCK_DRAINING;
    c->vsock.pending = 0;
    vsock_link_wait(c);
}

void vsock_link_payload(struct vsock_link *c, const struct iovec *iov, size_t n, uint32_t len)
{
    uint32_t sent = 0;
    c->mux->to_host += len;
    if (c->writable && c->vsock.ring_len == 0) {
        ssize_t rv = link_send(c, iov, n);
        if (rv < 0 && rv != -EAGAIN) {
            vsock_link_reset(c);
            return;
        }
        sent = rv < 0 ? 0 : (uint32_t)rv;
        vsock_conn_forwarded(&c->vsock, sent, false);
        if (sent < len)
            link_stall(c);
        if (c->vsock.state == VSOCK_DEAD)
            return;
    }
    if (sent < len && vsock_conn_store(&c->vsock, iov, n, sent, len - sent) < 0)
        vsock_link_reset(c);
    else
        link_widen(c);
}

/* The client has closed its socket. What it sent before still goes to the guest, as long as that
 * takes some of it; when all of it has gone already, nothing is left but the closing. Without this
 * a connection whose client had shut its sending side first would stay open for good. */
static void link_client_gone(struct vsock_link *c)
{
    if ((c->vsock.own_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0)
        link_shut(c, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
    else
        vsock_link_wait(c);
}

static void link_socket_ready(struct loop_source *s, uint32_t events)
{
    struct vsock_link *c = container_of(s, struct vsock_link, socket);
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0)
        c->readable = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        c->ended = true;
    if ((events & EPOLLOUT) != 0)
        c->writable = true;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0)
        c->readable = c->hung_up = true;
    if (c->vsock.state == VSOCK_GREETING && c->readable)
        link_greet(c);
    else if (c->vsock.state == VSOCK_REQUESTED && c->hung_up)
        vsock_link_reset(c); /* the client gave up: the guest must not accept a dead connection */
    else if ((c->vsock.state == VSOCK_OPEN || c->vsock.state == VSOCK_DRAINING) && c->writable)
        link_flush(c);
    if (c->vsock.state == VSOCK_OPEN && c->hung_up)
        link_client_gone(c);
    vsock_link_schedule(c);
}

/* To the guest. */

/* There is nothing to read any more: for now, or for good. */
static void link_read_nothing(struct vsock_link *c, ssize_t got)
{
    c->bulk = false;
    if (got < 0 && errno == EINTR)
        return;
    c->readable = false;
    if (got < 0 && errno == EAGAIN)
        return;
    uint32_t how = VIRTIO_VSOCK_SHUTDOWN_SEND;
    if (got < 0 || c->hung_up)
        how |= VIRTIO_VSOCK_SHUTDOWN_RCV;
    link_shut(c, how);
}

size_t vsock_link_read(struct vsock_link *c, struct virtio_vsock_hdr *h, const struct iovec *room,
                       size_t n)
{
    struct iovec part[LINK_PARTS];
    size_t parts = iov_slice(room, MIN(n, ARRAY_SIZE(part)), 0, vsock_conn_room(&c->vsock), part);
    if (parts == 0)
        return 0;
    ssize_t got = readv(c->socket.fd, part, (int)parts);
    if (got <= 0) {
        link_read_nothing(c, got);
        return 0;
    }
    vsock_conn_header(&c->vsock, h, VIRTIO_VSOCK_OP_RW);
    vsock_conn_sent(&c->vsock, (uint32_t)got);
    c->mux->to_guest += (uint64_t)got;
    c->bulk = (size_t)got >= room[0].iov_len;
    /* Less than asked for is all there was, and the next byte is an event; an end is one that may
     * have been told already. */
    c->readable = c->ended || (size_t)got == iov_size(part, parts);
    if (c->hung_up)
        vsock_link_wait(c);
    return (size_t)got;
}
