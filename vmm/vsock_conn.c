/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_conn.c - the state machine of vsock_conn.h: what a packet does to a connection, which
 * packets it owes, and how many bytes may flow. It makes no system call, so a fuzzer can run it
 * alone.
 *
 * Credit is counted in free-running 32-bit counters that wrap (virtio 1.2, 5.10.6.3); only
 * differences are looked at. What the guest says of its own side is a limit for us and nothing
 * more.
 */
#include "vsock_conn.h"

#include <errno.h>
#include <string.h>

#include "iov.h"

void vsock_conn_init(struct vsock_conn *c, enum vsock_state state, uint32_t host_port,
                     uint32_t guest_port)
{
    *c = (struct vsock_conn){
        .state = state, .host_port = host_port, .guest_port = guest_port, .window = VSOCK_SMALL};
}

void vsock_conn_done(struct vsock_conn *c)
{
    free(c->ring);
    c->ring = NULL;
    c->ring_len = 0;
    c->state = VSOCK_DEAD;
}

/*@ predicate window_ok(struct vsock_conn *c) =
  @     \valid(c) && 0 < c->window <= VSOCK_BUFFER;
  @
  @ predicate credit_ok(struct vsock_conn *c) =
  @     window_ok(c) && (uint32_t)(c->rx_cnt - c->fwd_cnt) <= c->window;
  @
  @ predicate ring_ok(struct vsock_conn *c) =
  @     window_ok(c) && c->ring_head < c->window && c->ring_len <= c->window;
  @*/

/* The guest's payload must fit into the space that we announced. */
/*@ requires credit_ok(c);
  @ assigns \nothing;
  @ ensures bound: \result ==>
  @     len <= VSOCK_MAX_DATA && (uint32_t)(c->rx_cnt - c->fwd_cnt) + len <= c->window;
  @*/
static bool conn_within_credit(const struct vsock_conn *c, uint32_t len)
{
    uint32_t in_flight = c->rx_cnt - c->fwd_cnt;
    return len <= VSOCK_MAX_DATA && len <= c->window - in_flight;
}

static enum vsock_action conn_packet_requested(struct vsock_conn *c, uint16_t op)
{
    if (op == VIRTIO_VSOCK_OP_RST)
        return VSOCK_DO_CLOSE;
    if (op != VIRTIO_VSOCK_OP_RESPONSE || (c->pending & VSOCK_SEND_REQUEST) != 0)
        return VSOCK_DO_RESET;
    c->state = VSOCK_OPEN;
    return VSOCK_DO_CONNECTED;
}

static enum vsock_action conn_packet_open(struct vsock_conn *c, const struct virtio_vsock_hdr *h)
{
    switch (h->op) {
    case VIRTIO_VSOCK_OP_RW:
        if ((c->peer_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0 || !conn_within_credit(c, h->len))
            return VSOCK_DO_RESET;
        c->rx_cnt += h->len;
        return VSOCK_DO_DATA;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        return VSOCK_DO_NOTHING;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        c->pending |= VSOCK_SEND_CREDIT_UPDATE;
        return VSOCK_DO_NOTHING;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        c->peer_shut |= h->flags & (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
        return VSOCK_DO_SHUTDOWN;
    case VIRTIO_VSOCK_OP_RST:
        return VSOCK_DO_CLOSE;
    default:
        return VSOCK_DO_RESET;
    }
}

enum vsock_action vsock_conn_packet(struct vsock_conn *c, const struct virtio_vsock_hdr *h)
{
    /* Every packet carries the sender's credit, whatever else it says. */
    c->peer_alloc = h->buf_alloc;
    c->peer_fwd = h->fwd_cnt;
    switch (c->state) {
    case VSOCK_REQUESTED:
        return conn_packet_requested(c, h->op);
    case VSOCK_OPEN:
        return conn_packet_open(c, h);
    /* Both ends are shut: data on its way is of no use to anyone, and only the RST is waited
     * for. */
    case VSOCK_CLOSING:
        if (h->op == VIRTIO_VSOCK_OP_RST)
            return VSOCK_DO_CLOSE;
        return h->op == VIRTIO_VSOCK_OP_SHUTDOWN ? VSOCK_DO_RESET : VSOCK_DO_NOTHING;
    default:
        return VSOCK_DO_RESET;
    }
}

/*@ requires \valid_read(c);
  @ assigns \nothing;
  @ ensures room: \result <= c->peer_alloc;
  @ ensures credit: \result > 0 ==> (uint32_t)(c->tx_cnt - c->peer_fwd) + \result <= c->peer_alloc;
  @*/
uint32_t vsock_conn_room(const struct vsock_conn *c)
{
    uint32_t in_flight = c->tx_cnt - c->peer_fwd;
    /* A guest that claims to have taken more than was sent, or shrinks its buffer, gets nothing. */
    return in_flight < c->peer_alloc ? c->peer_alloc - in_flight : 0;
}

void vsock_conn_sent(struct vsock_conn *c, uint32_t len)
{
    c->tx_cnt += len;
}

/* Where `len` bytes more go: to the place returned, `*ret_first` of them before the ring's end, and
 * the rest to its start. */
/*@ requires ring_ok(c) && c->ring_len + len <= c->window;
  @ requires \valid(ret_first) && \separated(c, ret_first);
  @ assigns *ret_first;
  @ ensures first: \result < c->window && \result + *ret_first <= c->window;
  @ ensures rest: *ret_first <= len && len - *ret_first <= c->ring_head + c->window;
  @ ensures free: c->ring_head + c->ring_len < c->window ==>
  @     \result == c->ring_head + c->ring_len && len - *ret_first <= c->ring_head;
  @ ensures behind: c->ring_head + c->ring_len >= c->window ==>
  @     \result + len <= c->ring_head && *ret_first == len;
  @*/
static uint32_t conn_ring_tail(const struct vsock_conn *c, uint32_t len, uint32_t *ret_first)
{
    uint32_t tail = (c->ring_head + c->ring_len) % c->window;
    *ret_first = MIN(len, c->window - tail);
    return tail;
}

int vsock_conn_store(struct vsock_conn *c, const struct iovec *iov, size_t n, size_t offset,
                     uint32_t len)
{
    if (c->ring == NULL) {
        c->ring = malloc(c->window);
        if (c->ring == NULL)
            return -ENOMEM;
        c->ring_head = 0;
    }
    /* conn_within_credit keeps ring_len + len within the buffer. */
    uint32_t first, tail = conn_ring_tail(c, len, &first);
    (void)iov_read(iov, n, offset, c->ring + tail, first);
    (void)iov_read(iov, n, offset + first, c->ring, len - first);
    c->ring_len += len;
    return 0;
}

/* How many of the kept bytes lie before the ring's end; the rest is at its start. */
/*@ requires ring_ok(c);
  @ assigns \nothing;
  @ ensures first: c->ring_head + \result <= c->window && \result <= c->ring_len;
  @ ensures rest: c->ring_len - \result <= c->ring_head;
  @ ensures some: c->ring_len > 0 ==> \result > 0;
  @*/
static uint32_t conn_ring_first(const struct vsock_conn *c)
{
    return MIN(c->ring_len, c->window - c->ring_head);
}

/*@ requires ring_ok(c) && \valid(out + (0 .. 1)) && \separated(c, out + (0 .. 1));
  @ requires \valid(c->ring + (0 .. c->window - 1));
  @ assigns out[0 .. 1];
  @ ensures pieces: \result <= 2;
  @ ensures none: c->ring_len == 0 ==> \result == 0;
  @ ensures one: \result >= 1 ==> 0 < out[0].iov_len <= c->window - c->ring_head;
  @*/
size_t vsock_conn_stored(const struct vsock_conn *c, struct iovec out[2])
{
    uint32_t first = conn_ring_first(c);
    if (c->ring_len == 0)
        return 0;
    out[0] = (struct iovec){c->ring + c->ring_head, first};
    if (first == c->ring_len)
        return 1;
    out[1] = (struct iovec){c->ring, c->ring_len - first};
    return 2;
}

void vsock_conn_forwarded(struct vsock_conn *c, uint32_t len, bool stored)
{
    c->fwd_cnt += len;
    if (stored) {
        c->ring_head = (c->ring_head + len) % c->window;
        c->ring_len -= len;
        /* Most connections never need the buffer, and those that do need it briefly. */
        if (c->ring_len == 0) {
            free(c->ring);
            c->ring = NULL;
        }
    }
    /* Not for every byte: an update costs a packet and an interrupt. A sender that is not told in
     * time would stop, so not too late either. */
    if (c->fwd_cnt - c->told_fwd >= c->window / 4)
        c->pending |= VSOCK_SEND_CREDIT_UPDATE;
}

bool vsock_conn_is_tight(const struct vsock_conn *c)
{
    return c->state == VSOCK_OPEN && c->window < VSOCK_BUFFER && c->ring == NULL &&
           c->rx_cnt >= c->window;
}

void vsock_conn_widen(struct vsock_conn *c)
{
    c->window = VSOCK_BUFFER;
    c->pending |= VSOCK_SEND_CREDIT_UPDATE;
}

bool vsock_conn_next(struct vsock_conn *c, struct virtio_vsock_hdr *h)
{
    static const struct {
        uint32_t bit;
        uint16_t op;
    } order[] = {
        {VSOCK_SEND_REQUEST, VIRTIO_VSOCK_OP_REQUEST},
        {VSOCK_SEND_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE},
        {VSOCK_SEND_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_UPDATE},
        {VSOCK_SEND_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST},
        {VSOCK_SEND_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if ((c->pending & order[i].bit) == 0)
            continue;
        c->pending &= ~order[i].bit;
        vsock_conn_header(c, h, order[i].op);
        if (order[i].op == VIRTIO_VSOCK_OP_SHUTDOWN)
            h->flags = c->own_shut;
        return true;
    }
    return false;
}

void vsock_conn_header(struct vsock_conn *c, struct virtio_vsock_hdr *h, uint16_t op)
{
    *h = (struct virtio_vsock_hdr){
        .src_port = c->host_port,
        .dst_port = c->guest_port,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = op,
        .buf_alloc = c->window,
        .fwd_cnt = c->fwd_cnt,
    };
    c->told_fwd = c->fwd_cnt;
    c->pending &= ~(uint32_t)VSOCK_SEND_CREDIT_UPDATE; /* every header carries it */
}
