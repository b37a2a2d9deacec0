/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "egress/egress.h"
#include "egress/tenant.h"

#define RELAY_FRAME  (WIRE_HEADER_SIZE + FLOW_MAX_PAYLOAD)
#define RELAY_PIECES 64 /* payloads that leave with one call */

static uint8_t relay_buffer[RELAY_FRAMES * RELAY_FRAME];

/* The network's side is over without a FIN: RST follows what the sandbox has not taken yet. */
static void relay_reset_down(struct flow *f)
{
    flow_reset_up(f);
    flow_rest_take(&f->from_down, flow_rest_len(&f->from_down));
    if (flow_send_head(f, FLOW_RST) < 0)
        flow_close(f);
    else
        flow_flush(f);
}

/* The sandbox broke the protocol, reset the flow or went away. */
static void relay_reset_up(struct flow *f)
{
    flow_reset_up(f);
    flow_close(f);
}

static void relay_moved(struct flow *f, size_t rx, size_t tx)
{
    f->moved += rx + tx;
    tenant_moved(f->tenant, rx, tx);
}

/* Reads up to `want` payload bytes, each frame's behind the room for its header. */
static ssize_t relay_read_net(struct flow *f, size_t want)
{
    struct iovec iov[RELAY_FRAMES];
    int count = 0;
    for (size_t left = want; left > 0; count++) {
        size_t len = MIN(left, (size_t)FLOW_MAX_PAYLOAD);
        iov[count] = (struct iovec){relay_buffer + (size_t)count * RELAY_FRAME + WIRE_HEADER_SIZE,
                                    len};
        left -= len;
    }
    ssize_t n = readv(f->up.watch.fd, iov, count);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        f->up.readable = errno == EINTR;
        return -EAGAIN;
    }
    /* Less than there was room for: the next edge tells of more. Not so once the end has come. */
    if (n > 0 && (size_t)n < want && !f->up.ended)
        f->up.readable = false;
    return n < 0 ? -errno : n;
}

/* True when something was moved. The flow may have left RELAYING. */
static bool relay_from_net(struct flow *f)
{
    if (!flow_flush_down(f) || f->fin_down || !f->up.readable)
        return false;
    size_t want = tenant_allowance(f->tenant, RELAY_FRAMES * FLOW_MAX_PAYLOAD);
    if (want == 0) {
        tenant_park(f->tenant, &f->task);
        return false;
    }
    ssize_t n = relay_read_net(f, want);
    if (n == -EAGAIN)
        return false;
    if (n < 0 || (n == 0 && f->up_broken)) {
        relay_reset_down(f);
        return false;
    }
    if (n == 0) {
        f->fin_down = true;
        if (flow_send_head(f, FLOW_FIN) < 0)
            relay_reset_up(f);
        return true;
    }
    relay_moved(f, (size_t)n, 0);
    size_t frames = 0;
    for (size_t left = (size_t)n; left > 0; frames++) {
        size_t len = MIN(left, (size_t)FLOW_MAX_PAYLOAD);
        frame_head(relay_buffer + frames * RELAY_FRAME, FLOW_DATA, len);
        left -= len;
    }
    if (flow_send_down(f, relay_buffer, (size_t)n + frames * WIRE_HEADER_SIZE) < 0) {
        relay_reset_up(f);
        return false;
    }
    return true;
}

/* Payloads of a piece of the stream, as one message. */
struct relay_batch {
    struct iovec iov[RELAY_PIECES];
    size_t count, bytes;
};

static enum frame_step relay_gather(struct relay_batch *b, struct frame_walk *w, struct span *data)
{
    struct span piece;
    enum frame_step step = FRAME_BYTES;
    b->count = b->bytes = 0;
    while (b->count < RELAY_PIECES) {
        step = frame_next(w, data, SIZE_MAX, &piece);
        if (step != FRAME_BYTES)
            return step;
        b->iov[b->count++] = (struct iovec){(void *)piece.data, piece.len};
        b->bytes += piece.len;
    }
    return step;
}

/* Bytes taken by the network; what it will never take counts as taken. */
static size_t relay_write_net(struct flow *f, struct relay_batch *b)
{
    const struct msghdr m = {.msg_iov = b->iov, .msg_iovlen = b->count};
    if (b->bytes == 0 || f->up_broken)
        return b->bytes;
    ssize_t n = sendmsg(f->up.watch.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
        if ((size_t)n < b->bytes)
            f->up.writable = false;
        relay_moved(f, 0, (size_t)n);
        return (size_t)n;
    }
    if (errno == EAGAIN) {
        f->up.writable = false;
        return 0;
    }
    f->up_broken = true;
    f->up.readable = f->up.ended = true; /* what it has sent before is still to be read */
    return b->bytes;
}

/* Carries out the frames in `data`, which loses what was carried out. -EPROTO ends the flow. */
static int relay_feed(struct flow *f, struct span *data)
{
    struct relay_batch batch;
    while (data->len > 0) {
        struct frame_walk ahead = f->walk;
        struct span rest = *data, piece;
        enum frame_step step = relay_gather(&batch, &ahead, &rest);
        if (batch.bytes > 0 && f->fin_up)
            return -EPROTO;
        size_t sent = relay_write_net(f, &batch);
        if (sent < batch.bytes) {
            while (sent > 0) {
                (void)frame_next(&f->walk, data, sent, &piece);
                sent -= piece.len;
            }
            return 0;
        }
        f->walk = ahead;
        *data = rest;
        if (step == FRAME_RST || step == FRAME_BAD || (step == FRAME_FIN && f->fin_up))
            return -EPROTO;
        if (step == FRAME_FIN) {
            f->fin_up = true;
            (void)shutdown(f->up.watch.fd, SHUT_WR);
        }
    }
    return 0;
}

/* A piece of the sandbox's stream: what was kept, or what can be read. False: neither. */
static bool relay_piece(struct flow *f, struct span *ret)
{
    size_t kept = flow_rest_len(&f->from_down);
    if (kept > 0) {
        *ret = (struct span){(const char *)f->from_down.data + f->from_down.at, kept};
        return f->up.writable || f->up_broken;
    }
    if (!f->down.readable)
        return false;
    size_t want = tenant_allowance(f->tenant, sizeof(relay_buffer));
    if (want == 0) {
        tenant_park(f->tenant, &f->task);
        return false;
    }
    ssize_t n = recv(f->down.watch.fd, relay_buffer, want, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        f->down.readable = errno == EINTR;
        return false;
    }
    if (n <= 0) {
        relay_reset_up(f);
        return false;
    }
    if ((size_t)n < want && !f->down.ended)
        f->down.readable = false;
    *ret = (struct span){(const char *)relay_buffer, (size_t)n};
    return true;
}

static bool relay_to_net(struct flow *f)
{
    struct span data;
    bool kept = flow_rest_len(&f->from_down) > 0;
    if (!relay_piece(f, &data))
        return false;
    size_t had = data.len;
    int rv = relay_feed(f, &data);
    if (rv == 0 && kept)
        flow_rest_take(&f->from_down, had - data.len);
    else if (rv == 0)
        rv = flow_rest_set(&f->from_down, data.data, data.len);
    if (rv < 0) {
        relay_reset_up(f);
        return false;
    }
    return data.len < had;
}

void relay_run(struct flow *f)
{
    f->moved = 0;
    for (;;) {
        bool more = relay_to_net(f);
        if (f->state != FLOW_RELAYING)
            return;
        more = relay_from_net(f) || more;
        if (f->state != FLOW_RELAYING)
            return;
        if (!more)
            break;
        if (f->moved >= RELAY_SHARE) {
            watch_later(&f->tenant->egress->watches, &f->task);
            break;
        }
    }
    if (f->fin_up && f->fin_down && flow_rest_len(&f->to_down) == 0)
        flow_close(f);
}
