/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcpflow_relay.c - the bytes of a flow.
 *
 * Theory of operation. What one socket gives is sent to the other at once, from the shared chunk.
 * Only what a send does not take is kept with the flow, and while something is kept its source is
 * not read: so each direction holds at most one chunk, and back-pressure is the kernel's. A read
 * that does not fill the chunk has taken all there was, and what comes later is another event.
 * Chunks from the host have room for two frames: the kernel's pieces are larger than one.
 *
 * Towards the host, bytes are framed before they are sent. From the host, what is kept is the
 * stream as it came; frames are read out of it as the program takes their data.
 *
 * A source is watched for what its direction can use. With nothing to wait for, it still reports
 * errors. A hang-up with data behind it would be reported without end: then it is not watched until
 * its direction moves on.
 */
#include "agent/net/tcpflow.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "flow.h"

#define TURNS_MAX 2u /* chunks that one direction moves before others get their turn */

enum relay_end { RELAY_OK, RELAY_APP_LOST, RELAY_HOST_LOST, RELAY_GONE };

/* Bytes taken, 0 when the socket is full, or -1. */
static ssize_t send_some(int fd, const uint8_t *p, size_t len)
{
    for (;;) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0 || errno == EAGAIN)
            return n >= 0 ? n : 0;
        if (errno != EINTR)
            return -1;
    }
}

static enum relay_end flush_to_host(struct flow *f)
{
    if (f->to_host.len == 0)
        return RELAY_OK;
    ssize_t n = send_some(f->host.fd, f->to_host.data, f->to_host.len);
    if (n < 0)
        return RELAY_HOST_LOST;
    buf_consume(&f->to_host, (size_t)n);
    if (f->to_host.len == 0)
        buf_done(&f->to_host);
    return RELAY_OK;
}

static enum relay_end send_frame(struct flow *f, const uint8_t *frame, size_t len)
{
    ssize_t n = send_some(f->host.fd, frame, len);
    if (n < 0 || ((size_t)n < len && buf_append(&f->to_host, frame + n, len - (size_t)n) < 0))
        return RELAY_HOST_LOST;
    return RELAY_OK;
}

/* As recv(2), into the room of two frames behind their headers. */
static ssize_t read_app(struct flow *f)
{
    uint8_t *chunk = f->all->chunk;
    const struct iovec parts[] = {
        {chunk + FRAMES_HEADER, FLOW_CHUNK},
        {chunk + FLOW_CHUNK + 2 * FRAMES_HEADER, FLOW_CHUNK},
    };
    return readv(f->app.fd, parts, 2);
}

/* Writes the headers; returns the bytes of the frames. */
static size_t frame_app(uint8_t *chunk, size_t len)
{
    size_t first = MIN(len, (size_t)FLOW_CHUNK), second = len - first;
    frames_header(chunk, len == 0 ? FLOW_FIN : FLOW_DATA, first);
    if (second > 0)
        frames_header(chunk + FRAMES_HEADER + FLOW_CHUNK, FLOW_DATA, second);
    return len + FRAMES_HEADER + (second > 0 ? FRAMES_HEADER : 0);
}

static enum relay_end app_to_host(struct flow *f)
{
    uint8_t *chunk = f->all->chunk;
    for (unsigned int turn = 0; turn < TURNS_MAX && f->to_host.len == 0 && !f->app_ended; turn++) {
        ssize_t n = read_app(f);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? RELAY_OK : RELAY_APP_LOST;
        f->app_ended = n == 0;
        enum relay_end end = send_frame(f, chunk, frame_app(chunk, (size_t)n));
        if (end != RELAY_OK)
            return end;
        if (n < 2 * (ssize_t)FLOW_CHUNK)
            break;
    }
    return RELAY_OK;
}

static enum relay_end handle_frame(struct flow *f, int event)
{
    switch (event) {
    case FRAMES_OPENED:
        flow_opened(f);
        return RELAY_OK;
    case FRAMES_REFUSED:
        flow_refuse(f, f->frames.reason);
        return RELAY_GONE;
    case FRAMES_FIN:
        f->host_ended = true;
        return shutdown(f->app.fd, SHUT_WR) < 0 ? RELAY_APP_LOST : RELAY_OK;
    default: /* RST, or no frame at all */
        return RELAY_HOST_LOST;
    }
}

/* Reads frames until the program takes no more; moves over what was read. */
static enum relay_end deliver(struct flow *f, const uint8_t **p, size_t *len)
{
    while (*len > 0 && f->state != FLOW_S_ADMITTED) {
        int event = frames_next(&f->frames, p, len);
        if (event == FRAMES_MORE)
            break;
        if (event != FRAMES_DATA) {
            enum relay_end end = handle_frame(f, event);
            if (end != RELAY_OK)
                return end;
            continue;
        }
        ssize_t n = send_some(f->app.fd, f->frames.data, f->frames.data_len);
        if (n < 0)
            return RELAY_APP_LOST;
        if (n == 0)
            break;
        frames_take(&f->frames, p, len, (size_t)n);
    }
    return RELAY_OK;
}

static enum relay_end deliver_kept(struct flow *f)
{
    const uint8_t *p = f->to_app.data;
    size_t len = f->to_app.len;
    if (len == 0)
        return RELAY_OK;
    enum relay_end end = deliver(f, &p, &len);
    if (end == RELAY_GONE)
        return end;
    buf_consume(&f->to_app, f->to_app.len - len);
    if (f->to_app.len == 0)
        buf_done(&f->to_app);
    return end;
}

static enum relay_end host_to_app(struct flow *f)
{
    enum relay_end end = deliver_kept(f);
    for (unsigned int turn = 0; end == RELAY_OK && turn < TURNS_MAX && f->to_app.len == 0; turn++) {
        if (f->state == FLOW_S_ADMITTED)
            break;
        const uint8_t *p = f->all->chunk;
        ssize_t n = recv(f->host.fd, f->all->chunk, sizeof(f->all->chunk), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0)
            return RELAY_HOST_LOST;
        size_t len = (size_t)n;
        end = deliver(f, &p, &len);
        if (end == RELAY_OK && len > 0 && buf_append(&f->to_app, p, len) < 0)
            end = RELAY_HOST_LOST;
        if ((size_t)n < sizeof(f->all->chunk))
            break;
    }
    return end;
}

static void watch_flow(struct flow *f)
{
    struct poll *poll = f->all->poll;
    bool read_host = f->state != FLOW_S_ADMITTED && f->to_app.len == 0;
    bool read_app = f->to_host.len == 0 && !f->app_ended;
    uint32_t host = (read_host ? EPOLLIN : 0u) | (f->to_host.len > 0 ? EPOLLOUT : 0u);
    uint32_t app = (read_app ? EPOLLIN : 0u) | (f->to_app.len > 0 ? EPOLLOUT : 0u);
    if (poll_watch(poll, &f->host, host) < 0)
        flow_reset_app(f);
    else if (f->state == FLOW_S_RELAYING && poll_watch(poll, &f->app, app) < 0)
        flow_reset_host(f);
}

static enum relay_end move_bytes(struct flow *f)
{
    enum relay_end end = flush_to_host(f);
    if (end == RELAY_OK && f->state == FLOW_S_RELAYING)
        end = app_to_host(f);
    /* The host may have said why it is gone. */
    if (end != RELAY_APP_LOST) {
        enum relay_end other = host_to_app(f);
        end = other != RELAY_OK ? other : end;
    }
    return end;
}

void flow_move(struct flow *f)
{
    switch (move_bytes(f)) {
    case RELAY_OK:
        if (f->app_ended && f->host_ended && f->to_host.len == 0)
            flow_close(f);
        else
            watch_flow(f);
        break;
    case RELAY_APP_LOST:
        flow_reset_host(f);
        break;
    case RELAY_HOST_LOST:
        flow_reset_app(f);
        break;
    case RELAY_GONE:
        break;
    }
}

/* True when the event is dealt with: an end that nothing can be done about now. */
static bool is_idle_hangup(struct flow *f, struct poll_source *s, uint32_t events)
{
    if ((events & (EPOLLIN | EPOLLOUT)) || (s->events & (EPOLLIN | EPOLLOUT)))
        return false;
    poll_unwatch(f->all->poll, s);
    return true;
}

void flow_handle_host(struct poll_source *s, uint32_t events)
{
    struct flow *f = container_of(s, struct flow, host);
    if (f->state == FLOW_S_CONNECTING) {
        if (host_connected(s->fd) < 0) {
            flow_refuse(f, FLOW_R_UNAVAILABLE);
            return;
        }
        f->state = FLOW_S_HELD;
        poll_timer_start(f->all->poll, &f->timer, FLOW_HOLD_MS);
    }
    if (!is_idle_hangup(f, s, events))
        flow_move(f);
}

void flow_handle_app(struct poll_source *s, uint32_t events)
{
    struct flow *f = container_of(s, struct flow, app);
    if (events & EPOLLERR)
        flow_reset_host(f);
    else if (!is_idle_hangup(f, s, events))
        flow_move(f);
}
