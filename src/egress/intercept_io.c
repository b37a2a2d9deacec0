/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/intercept_io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "egress/egress.h"
#include "egress/tenant.h"

static uint8_t intercept_frame[WIRE_HEADER_SIZE + FLOW_MAX_PAYLOAD];

int intercept_fill(struct flow *f)
{
    if (!f->down.readable)
        return -EAGAIN;
    size_t want = tenant_allowance(f->tenant, sizeof(intercept_frame));
    if (want == 0) {
        tenant_park(f->tenant, &f->task);
        return -EAGAIN;
    }
    ssize_t n = recv(f->down.watch.fd, intercept_frame, want, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        f->down.readable = errno == EINTR;
        return -EAGAIN;
    }
    if (n <= 0)
        return -EPIPE;
    return flow_rest_add(&f->from_down, intercept_frame, (size_t)n) < 0 ? -ENOMEM : 1;
}

ssize_t intercept_pull_down(void *ctx, uint8_t *data, size_t len)
{
    struct intercept *i = ctx;
    struct flow *f = i->flow;
    while (!i->fin) {
        struct span piece, have = {(const char *)f->from_down.data + f->from_down.at,
                                   flow_rest_len(&f->from_down)};
        size_t had = have.len;
        enum frame_step step = had > 0 ? frame_next(&f->walk, &have, len, &piece) : FRAME_MORE;
        size_t got = step == FRAME_BYTES ? piece.len : 0;
        if (got > 0)
            memcpy(data, piece.data, got);
        if (had > have.len)
            flow_rest_take(&f->from_down, had - have.len);
        if (got > 0)
            return (ssize_t)got;
        if (step == FRAME_RST || step == FRAME_BAD)
            return -EPIPE;
        i->fin = step == FRAME_FIN;
        int rv = step == FRAME_MORE ? intercept_fill(f) : 1;
        if (rv < 0)
            return rv;
    }
    return 0;
}

ssize_t intercept_pull_up(void *ctx, uint8_t *data, size_t len)
{
    struct flow *f = ((struct intercept *)ctx)->flow;
    size_t want = tenant_allowance(f->tenant, len);
    if (want == 0)
        tenant_park(f->tenant, &f->task);
    if (want == 0 || !f->up.readable)
        return -EAGAIN;
    ssize_t n = recv(f->up.watch.fd, data, want, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        f->up.readable = errno == EINTR;
        return -EAGAIN;
    }
    if (n > 0) {
        f->moved += (size_t)n;
        tenant_moved(f->tenant, (uint64_t)n, 0);
    }
    return n < 0 ? -EPIPE : n;
}

int intercept_push_down(void *ctx, const uint8_t *data, size_t len)
{
    struct flow *f = ((struct intercept *)ctx)->flow;
    int rv = 0;
    while (len > 0 && rv == 0) {
        size_t n = MIN(len, (size_t)FLOW_MAX_PAYLOAD);
        frame_head(intercept_frame, FLOW_DATA, n);
        memcpy(intercept_frame + WIRE_HEADER_SIZE, data, n);
        rv = flow_send_down(f, intercept_frame, WIRE_HEADER_SIZE + n);
        data += n;
        len -= n;
    }
    return rv;
}

/* Bytes that the network has taken, or -EPIPE. */
static ssize_t intercept_send_up(struct flow *f, const uint8_t *data, size_t len)
{
    ssize_t n = f->up.writable ? send(f->up.watch.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN)
        return -EPIPE;
    n = MAX(n, (ssize_t)0);
    if ((size_t)n < len)
        f->up.writable = false;
    f->moved += (size_t)n;
    if (n > 0)
        tenant_moved(f->tenant, 0, (uint64_t)n);
    return n;
}

int intercept_push_up(void *ctx, const uint8_t *data, size_t len)
{
    struct intercept *i = ctx;
    ssize_t n = flow_rest_len(&i->to_up) == 0 ? intercept_send_up(i->flow, data, len) : 0;
    if (n < 0 || (size_t)n == len)
        return n < 0 ? (int)n : 0;
    return flow_rest_add(&i->to_up, data + n, len - (size_t)n);
}

void intercept_take_up(struct intercept *i, size_t len)
{
    if (len > 0)
        explicit_bzero(i->to_up.data + i->to_up.at, len);
    flow_rest_take(&i->to_up, len);
}

int intercept_flush_up(struct intercept *i)
{
    struct flow *f = i->flow;
    while (flow_rest_len(&i->to_up) > 0) {
        ssize_t n = intercept_send_up(f, i->to_up.data + i->to_up.at, flow_rest_len(&i->to_up));
        if (n <= 0)
            return (int)n;
        intercept_take_up(i, (size_t)n);
    }
    if (i->end_up && !f->fin_up) {
        f->fin_up = true;
        (void)shutdown(f->up.watch.fd, SHUT_WR);
    }
    return 1;
}
