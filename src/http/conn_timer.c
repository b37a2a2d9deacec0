/* SPDX-License-Identifier: Apache-2.0 */
/* conn_timer.c - the time-outs of a connection with a single timer. It is started when it
 * would fire too late and never moved back, so a busy keep-alive connection only stores deadlines.
 */
#include "http/conn.h"
#include "http/server.h"

static void conn_on_timer(uv_timer_t *timer);

static enum http_wait conn_wait(const struct http_conn *c)
{
    bool unsent = stream_unsent(&c->stream) > 0;
    switch (c->state) {
    case CONN_IDLE:
        if (stream_is_shaking_hands(&c->stream))
            return WAIT_HANDSHAKE;
        return unsent ? WAIT_WRITE : WAIT_IDLE;
    case CONN_HEAD:
        return WAIT_HEAD;
    case CONN_BODY:
        if (!c->body_paused)
            return WAIT_BODY;
        return unsent ? WAIT_WRITE : WAIT_NONE;
    case CONN_HANDLE:
    case CONN_RAW:
        return unsent ? WAIT_WRITE : WAIT_NONE;
    case CONN_DISCARD:
        return WAIT_BODY;
    case CONN_LINGER:
        return unsent ? WAIT_WRITE : WAIT_LINGER;
    default:
        return WAIT_NONE;
    }
}

static unsigned int conn_wait_ms(const struct http_conn *c, enum http_wait wait)
{
    const struct http_limits *limits = &c->server->limits;
    const unsigned int ms[] = {
        [WAIT_NONE] = 0,
        [WAIT_HANDSHAKE] = limits->head_ms,
        [WAIT_IDLE] = limits->idle_ms,
        [WAIT_HEAD] = limits->head_ms,
        [WAIT_BODY] = limits->body_ms,
        [WAIT_WRITE] = limits->write_ms,
        [WAIT_LINGER] = HTTP_LINGER_MS,
    };
    return ms[wait];
}

static uint64_t conn_progress(const struct http_conn *c)
{
    return c->stream.bytes_out - stream_unsent(&c->stream);
}

void http_conn_update_timer(struct http_conn *c)
{
    enum http_wait wait = conn_wait(c);
    uint64_t now = uv_now(c->server->loop);
    if (wait != c->wait) {
        c->wait = wait;
        c->deadline = now + conn_wait_ms(c, wait);
        c->progress = conn_progress(c);
    }
    if (wait == WAIT_NONE || (c->timer_due != 0 && c->timer_due <= c->deadline))
        return;
    c->timer_due = c->deadline;
    (void)uv_timer_start(&c->timer, conn_on_timer, c->deadline - MIN(now, c->deadline), 0);
}

static void conn_on_timer(uv_timer_t *timer)
{
    struct http_conn *c = timer->data;
    c->timer_due = 0;
    if (c->wait != WAIT_NONE && uv_now(timer->loop) >= c->deadline) {
        c->timed_out = true;
        http_conn_tick(c);
    } else {
        http_conn_update_timer(c);
    }
}

void http_conn_timeout(struct http_conn *c)
{
    switch (c->wait) {
    case WAIT_HEAD:
        http_conn_begin(c);
        http_conn_refuse_as(c, ERROR_REQUEST_TIMEOUT);
        break;
    case WAIT_BODY:
        if (c->state == CONN_BODY)
            http_conn_refuse_as(c, ERROR_REQUEST_TIMEOUT);
        else
            http_conn_close(c);
        break;
    case WAIT_WRITE:
        if (stream_unsent(&c->stream) > 0 && conn_progress(c) == c->progress)
            http_conn_abort(c);
        c->wait = WAIT_NONE;
        break;
    case WAIT_HANDSHAKE:
    case WAIT_IDLE:
    case WAIT_LINGER:
        http_conn_close(c);
        break;
    case WAIT_NONE:
        break;
    }
}
