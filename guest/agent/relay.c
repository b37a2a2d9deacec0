/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - moves bytes between a connection and another socket.
 *
 * Each direction is a relay_way. It reads a chunk and writes it at once; only what the receiver
 * does not take is kept, and nothing more is read until that is written. So a relay needs memory
 * for one chunk per way at most, and none while it is idle. A turn moves RELAY_ROUNDS chunks per
 * way, then the other connections have theirs.
 *
 * Possible failure modes are: a send fails (that way is over, and what the broken side sent before
 * is still delivered the other way); there is no memory for the rest of a chunk (the way is over).
 */
#include "agent/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent.h"

#define RELAY_ROUNDS 4 /* reads per way and turn */

static void relay_timer(struct timer *t);
static void relay_advance(struct relay *r);

void relay_init(struct relay *r, struct conn *conn, bool coupled)
{
    *r = (struct relay){.conn = conn, .coupled = coupled};
    source_init(&r->far, SOURCE_RELAY, -1);
    timer_init(&r->timer, relay_timer);
}

/* Bytes that came with the request, and answers that are not sent yet, belong to the stream: they
 * go first. */
void relay_start(struct relay *r)
{
    struct conn *c = r->conn;
    struct span rest = wire_reader_rest(&c->reader);
    (void)buf_append(&r->up.pending, rest.data, rest.len);
    (void)buf_append(&r->down.pending, c->out.data + c->out_sent, conn_unsent(c));
    wire_reader_done(&c->reader);
    buf_reset(&c->out);
    c->out_sent = 0;
    if (r->up.pending.failed || r->down.pending.failed) {
        conn_close(c);
        return;
    }
    r->started = true;
    conn_go_raw(c);
    relay_advance(r);
}

static struct loop *relay_loop(struct relay *r)
{
    return &r->conn->agent->loop;
}

void relay_lead(struct relay *r, struct buf *b, uint64_t timeout_us,
                void (*led)(struct relay *r, bool taken))
{
    r->up.pending = *b;
    *b = (struct buf){0};
    r->lead_left = sizeof(r->lead);
    r->led = led;
    loop_timer_start(relay_loop(r), &r->timer, timeout_us);
}

static void relay_led(struct relay *r, bool taken)
{
    r->lead_left = 0;
    timer_stop(&r->timer);
    r->led(r, taken);
}

/* False while the answer to what led is not complete. */
static bool relay_take_lead(struct relay *r)
{
    static const uint8_t ok[WIRE_HEADER_SIZE] = {[4] = WIRE_OK & 0xff, [5] = WIRE_OK >> 8};
    if (r->lead_left == 0)
        return true;
    ssize_t n = recv(r->far.fd, r->lead + sizeof(r->lead) - r->lead_left, r->lead_left,
                     MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        r->down.ended = r->down.shut = true;
        relay_led(r, false);
        return true;
    }
    r->lead_left -= (size_t)n;
    if (r->lead_left > 0)
        return false;
    bool taken = memcmp(r->lead, ok, sizeof(ok)) == 0;
    if (!taken && buf_append(&r->down.pending, r->lead, sizeof(r->lead)) == 0)
        r->answered = true;
    relay_led(r, taken);
    return true;
}

/* The receiver is broken: nothing more is read for it. */
static void way_break(struct relay_way *way)
{
    way->ended = way->shut = true;
    buf_done(&way->pending);
}

/* True when everything pending was written. */
static bool way_write(struct relay_way *way, int to, const uint8_t *data, size_t len, size_t *done)
{
    *done = 0;
    while (*done < len) {
        ssize_t n = send(to, data + *done, len - *done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            way_break(way);
        if (n < 0)
            return false;
        *done += (size_t)n;
    }
    return true;
}

static bool way_flush(struct relay_way *way, int to)
{
    size_t done;
    if (way->pending.len == 0)
        return !way->shut;
    bool all = way_write(way, to, way->pending.data, way->pending.len, &done);
    if (way->shut)
        return false;
    buf_consume(&way->pending, done);
    if (all)
        buf_done(&way->pending); /* an idle relay keeps no memory */
    return all;
}

/* Moves up to RELAY_ROUNDS chunks. `back` is the way that writes to `from`. With `pass_end` the end
 * of one side is passed on to the other. True when a byte was read. */
static bool way_move(struct relay_way *way, struct relay_way *back, int from, int to, bool pass_end)
{
    static uint8_t chunk[WIRE_CHUNK];
    bool moved = false;
    for (int i = 0; i < RELAY_ROUNDS && way_flush(way, to) && !way->ended; i++) {
        size_t done;
        ssize_t n = recv(from, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n < 0)
            way_break(back);
        if (n <= 0) {
            way->ended = true;
            break;
        }
        moved = true;
        if (!way_write(way, to, chunk, (size_t)n, &done) && !way->shut &&
            buf_append(&way->pending, chunk + done, (size_t)n - done) < 0)
            way_break(way);
    }
    if (way->ended && way->pending.len == 0 && !way->shut) {
        way->shut = true;
        if (pass_end)
            (void)shutdown(to, SHUT_WR);
    }
    return moved;
}

static bool way_over(const struct relay_way *way)
{
    return way->ended && way->shut;
}

static uint32_t side_events(const struct relay_way *in, const struct relay_way *out)
{
    uint32_t events = 0;
    if (!in->ended && in->pending.len == 0)
        events |= EPOLLIN;
    if (out->pending.len > 0)
        events |= EPOLLOUT;
    return events;
}

static void relay_advance(struct relay *r)
{
    struct conn *c = r->conn;
    bool moved = way_move(&r->up, &r->down, c->source.fd, r->far.fd, !r->coupled);
    bool moved_down = relay_take_lead(r) &&
                      way_move(&r->down, &r->up, r->far.fd, c->source.fd, !r->coupled);
    r->moved |= moved || moved_down;
    r->answered |= moved_down;
    if (r->coupled && way_over(&r->down) && !r->answered) {
        conn_error(c, WIRE_E_UNAVAILABLE, "the code bridge ended before it answered");
        return;
    }
    if (way_over(&r->down) && (r->coupled || way_over(&r->up))) {
        conn_finish(c);
        return;
    }
    if ((r->up.ended || r->down.ended) && list_empty(&r->timer.node))
        loop_timer_start(relay_loop(r), &r->timer, RELAY_HALF_US);
    uint32_t near = side_events(&r->up, &r->down);
    /* A coupled relay must notice the server's end even while it does not read. */
    if (r->coupled)
        near |= EPOLLRDHUP;
    if (loop_watch(relay_loop(r), &c->source, near) < 0 ||
        loop_watch(relay_loop(r), &r->far, side_events(&r->down, &r->up)) < 0)
        conn_close(c);
}

void relay_handle_near(struct relay *r, uint32_t events)
{
    if (r->coupled && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
        conn_close(r->conn);
        return;
    }
    if (events & (EPOLLHUP | EPOLLERR))
        way_break(&r->down); /* it takes nothing more; what it sent is still delivered */
    relay_advance(r);
}

void relay_handle_far(struct source *s, uint32_t events)
{
    struct relay *r = container_of(s, struct relay, far);
    if (!r->started) {
        r->connected(r);
        return;
    }
    if (events & (EPOLLHUP | EPOLLERR))
        way_break(&r->up);
    relay_advance(r);
}

static void relay_timer(struct timer *t)
{
    struct relay *r = container_of(t, struct relay, timer);
    if (!r->started) {
        conn_error(r->conn, WIRE_E_UNAVAILABLE, "the connection was not made in time");
    } else if (r->lead_left > 0) {
        relay_led(r, false);
        conn_error(r->conn, WIRE_E_UNAVAILABLE, "the code bridge does not answer");
    } else if (r->moved) {
        r->moved = false;
        loop_timer_start(relay_loop(r), t, RELAY_HALF_US);
    } else {
        conn_close(r->conn);
    }
}

void relay_done(struct relay *r)
{
    timer_stop(&r->timer);
    loop_close(relay_loop(r), &r->far);
    buf_done(&r->up.pending);
    buf_done(&r->down.pending);
}
