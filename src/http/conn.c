/* SPDX-License-Identifier: Apache-2.0 */
#include "http/conn.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "http/server.h"

static void conn_on_opened(struct stream *stream, int status);
static void conn_on_data(struct stream *stream, const uint8_t *data, size_t len);
static void conn_on_ended(struct stream *stream, int status);
static void conn_on_drained(struct stream *stream);
static void conn_on_stream_closed(struct stream *stream);
static void conn_on_timer_closed(uv_handle_t *handle);

static const struct stream_handler conn_stream_handler = {
    .opened = conn_on_opened,
    .data = conn_on_data,
    .ended = conn_on_ended,
    .drained = conn_on_drained,
    .closed = conn_on_stream_closed,
};

static void conn_run(struct http_conn *c, const uint8_t *in, size_t len);

int http_conn_open(struct http_server *server, int fd)
{
    struct http_conn *c = calloc(1, sizeof(*c));
    int rv = c != NULL ? stream_init_tcp(&c->stream, server->loop, &conn_stream_handler) : -ENOMEM;
    if (rv < 0) {
        (void)close(fd);
        free(c);
        return rv;
    }
    (void)uv_timer_init(server->loop, &c->timer); /* never fails */
    c->timer.data = c;
    c->handles = 2;
    c->server = server;
    c->req.conn = c;
    list_init(&c->deferred);
    http_parser_init(&c->parser, &c->req);
    http_server_conn_opened(server, &c->link);
    rv = stream_open(&c->stream, fd);
    if (rv == 0 && server->tls != NULL)
        rv = stream_start_tls(&c->stream, server->tls);
    if (rv < 0) {
        http_conn_close(c);
        return rv;
    }
    stream_read_start(&c->stream);
    conn_run(c, NULL, 0);
    return 0;
}

/* --- the tick --- */

static bool conn_step(struct http_conn *c);
static void conn_ended(struct http_conn *c);
static void conn_keep_input(struct http_conn *c);

static void conn_run(struct http_conn *c, const uint8_t *in, size_t len)
{
    if (c->in_tick || c->state == CONN_CLOSING)
        return;
    c->in_tick = true;
    c->in = in;
    c->in_len = len;
    while (conn_step(c)) {
    }
    if (c->ended)
        conn_ended(c);
    c->in_tick = false;
    if (c->state != CONN_CLOSING)
        conn_keep_input(c);
    if (c->state == CONN_CLOSING)
        return;
    if (((c->state == CONN_BODY || c->state == CONN_RAW) && c->body_paused) ||
        c->ahead.len >= HTTP_MAX_PIPELINE)
        stream_read_stop(&c->stream);
    else
        stream_read_start(&c->stream);
    http_conn_update_timer(c);
}

void http_conn_tick(struct http_conn *c)
{
    conn_run(c, c->ahead.data, c->ahead.len);
}

void http_conn_kick(struct http_conn *c)
{
    if (!c->in_tick && c->state != CONN_CLOSING)
        http_server_defer(c->server, &c->deferred);
}

/* Bytes not parsed stay for a later tick. They are `ahead` itself or a piece of the read buffer. */
static void conn_keep_input(struct http_conn *c)
{
    if (c->in_len == 0)
        buf_done(&c->ahead);
    else if (c->ahead.len > 0)
        buf_consume(&c->ahead, c->ahead.len - c->in_len);
    else if (buf_append(&c->ahead, c->in, c->in_len) < 0)
        http_conn_abort(c);
    c->in = NULL;
    c->in_len = 0;
}

/* The TLS handshake is complete. */
static void conn_on_opened(struct stream *stream, int status)
{
    (void)status;
    http_conn_tick(container_of(stream, struct http_conn, stream));
}

static void conn_on_data(struct stream *stream, const uint8_t *data, size_t len)
{
    struct http_conn *c = container_of(stream, struct http_conn, stream);
    if (c->wait == WAIT_BODY)
        c->wait = WAIT_NONE; /* it counts from the last bytes */
    if (c->ahead.len == 0) {
        conn_run(c, data, len);
        return;
    }
    if (buf_append(&c->ahead, data, len) < 0)
        c->broken = true;
    http_conn_tick(c);
}

static void conn_on_ended(struct stream *stream, int status)
{
    struct http_conn *c = container_of(stream, struct http_conn, stream);
    c->ended = true;
    if (status < 0)
        c->broken = true;
    http_conn_tick(c);
}

static void conn_on_drained(struct stream *stream)
{
    http_conn_tick(container_of(stream, struct http_conn, stream));
}

static bool conn_step(struct http_conn *c)
{
    if (c->state == CONN_CLOSING)
        return false;
    if (c->broken) {
        http_conn_abort(c);
        return false;
    }
    if (c->timed_out) {
        c->timed_out = false;
        http_conn_timeout(c);
        return true;
    }
    if (c->owes_writable && c->owes_gone && stream_writable(&c->stream)) {
        c->owes_writable = false;
        if (c->req.writable != NULL && c->answer.state != ANSWER_DONE)
            c->req.writable(&c->req);
        return true;
    }
    return http_conn_step(c);
}

/* --- ways out --- */

void http_conn_gone(struct http_conn *c, bool aborted)
{
    if (!c->owes_gone)
        return;
    c->owes_gone = false;
    c->server->app->gone(&c->req, aborted);
}

/* Closing with unread bytes in the socket would make the kernel throw away the answer on its way,
 * so the client gets the chance to close first. */
void http_conn_linger(struct http_conn *c)
{
    c->state = CONN_LINGER;
    c->lingered = 0;
    stream_shutdown(&c->stream);
    http_parser_reset(&c->parser);
    arena_done(&c->req.arena);
    buf_done(&c->req.body);
    buf_done(&c->req.extra_headers);
}

void http_conn_refuse(struct http_conn *c, const struct error *err)
{
    if (c->answer.state != ANSWER_NONE) {
        http_conn_abort(c);
        return;
    }
    c->refused = true;
    if (!c->owes_gone && c->server->app->refused != NULL)
        c->server->app->refused(&c->req);
    http_reply_error(&c->req, err);
    http_conn_gone(c, true);
    http_conn_linger(c);
}

void http_conn_refuse_as(struct http_conn *c, enum error_code code)
{
    struct error err;
    (void)error_set(&err, code, "%s", error_text(code));
    http_conn_refuse(c, &err);
}

/* The client has closed its side, and everything it sent before has been looked at. */
static void conn_ended(struct http_conn *c)
{
    if (c->state == CONN_CLOSING || c->state == CONN_RAW)
        return;
    if (c->state == CONN_BODY || c->state == CONN_HANDLE) {
        http_conn_abort(c);
        return;
    }
    /* It may still read earlier answers. */
    if (stream_unsent(&c->stream) == 0)
        http_conn_close(c);
    else if (c->state != CONN_LINGER)
        http_conn_linger(c);
}

void http_conn_drain(struct http_conn *c)
{
    http_conn_kick(c);
}

void http_conn_abort(struct http_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    http_conn_close(c);
    http_conn_gone(c, true);
}

void http_conn_close(struct http_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    c->state = CONN_CLOSING;
    list_del(&c->deferred);
    stream_close(&c->stream);
    uv_close((uv_handle_t *)&c->timer, conn_on_timer_closed);
}

static void conn_unref(struct http_conn *c)
{
    if (--c->handles > 0)
        return;
    http_server_conn_closed(c->server, &c->link);
    http_parser_done(&c->parser);
    arena_done(&c->req.arena);
    buf_done(&c->req.body);
    buf_done(&c->req.extra_headers);
    buf_done(&c->ahead);
    free(c);
}

static void conn_on_stream_closed(struct stream *stream)
{
    conn_unref(container_of(stream, struct http_conn, stream));
}

static void conn_on_timer_closed(uv_handle_t *handle)
{
    conn_unref(handle->data);
}

/* --- for the answers --- */

void http_conn_send(struct http_conn *c, const uv_buf_t *bufs, unsigned int n, struct buf *last)
{
    if (c->broken || c->state == CONN_CLOSING) {
        if (last != NULL)
            buf_done(last);
        return;
    }
    if (stream_writev(&c->stream, bufs, n, last) < 0)
        c->broken = true;
    /* From here on somebody must watch whether the client reads. */
    if (c->broken || (c->wait == WAIT_NONE && stream_unsent(&c->stream) > 0))
        http_conn_kick(c);
}

void http_body_pause(struct http_request *req)
{
    req->conn->body_paused = true;
    http_conn_kick(req->conn);
}

void http_body_resume(struct http_request *req)
{
    req->conn->body_paused = false;
    http_conn_kick(req->conn);
}
