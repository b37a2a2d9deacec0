/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c - the state machine of one connection.
 *
 *   IDLE --> HEAD --> BODY --> HANDLE --+--> IDLE      the answer is complete, keep-alive
 *     |        |        |        |      +--> RAW       the app has left HTTP
 *     |        |        +--> DISCARD ---+              answered before the end of a small body
 *     |        |        |        |
 *     |        +--------+--------+--> LINGER           the last answer is on its way
 *     |        |        |        |       |
 *     +--------+--------+--------+-------+--> CLOSING --> freed
 *
 * Each state has a step. A step does one thing and returns true, or returns false when it has to
 * wait. A tick runs steps until one waits, then starts or stops reading and sets the timer. The app
 * and the stream only leave marks (`broken`, `owes_...`, `answer.state`), and the next step acts on
 * them. This is why the app may call any function of http.h from any of its callbacks.
 *
 * The happy path is: a head and its body arrive, the app answers, and the connection is IDLE again.
 * When the bytes are there at once, all of this is one tick and HEAD is never entered.
 *
 * Possible failure modes are: the client sends what is not HTTP, or too slowly (the server answers
 * itself, then lingers); the client goes away (the app hears `gone` with aborted = true); a write
 * fails or memory runs out (`broken`: the connection closes and says nothing more).
 */
#include "http/conn.h"

#include <errno.h>
#include <string.h>

#include "http/server.h"

static const struct http_str conn_continue = {"HTTP/1.1 100 Continue\r\n\r\n", 25};

/* --- ways out --- */

static void conn_unref(struct http_conn *c)
{
    if (--c->handles > 0)
        return;
    tally_drop(c->address);
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

static void conn_close(struct http_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    c->state = CONN_CLOSING;
    list_del(&c->deferred);
    stream_close(&c->stream);
    uv_close((uv_handle_t *)&c->timer, conn_on_timer_closed);
}

/* The body of this request takes `bytes`; false when the server may not hold so much. */
static bool conn_charge(struct http_conn *c, size_t bytes)
{
    struct http_server *s = c->server;
    s->buffered += bytes - c->buffered;
    c->buffered = bytes;
    return s->limits.max_buffered == 0 || s->buffered <= s->limits.max_buffered;
}

static void conn_gone(struct http_conn *c, bool aborted)
{
    (void)conn_charge(c, 0);
    if (!c->owes_gone)
        return;
    c->owes_gone = false;
    c->server->app->gone(&c->req, aborted);
}

void http_conn_abort(struct http_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    conn_close(c);
    conn_gone(c, true);
}

/* Closing with unread bytes in the socket would make the kernel throw away the answer on its way,
 * so the client gets the chance to close first. */
static void conn_linger(struct http_conn *c)
{
    c->state = CONN_LINGER;
    c->lingered = 0;
    stream_shutdown(&c->stream);
    http_parser_reset(&c->parser);
    arena_done(&c->req.arena);
    buf_done(&c->req.body);
    buf_done(&c->req.extra_headers);
}

static void conn_refuse(struct http_conn *c, const struct error *err)
{
    if (c->answer.state != ANSWER_NONE) {
        http_conn_abort(c);
        return;
    }
    c->refused = true;
    if (!c->owes_gone && c->server->app->refused != NULL)
        c->server->app->refused(&c->req);
    http_reply_error(&c->req, err);
    conn_gone(c, true);
    conn_linger(c);
}

static void conn_refuse_as(struct http_conn *c, enum error_code code)
{
    struct error err;
    (void)error_set(&err, code, "%s", error_text(code));
    conn_refuse(c, &err);
}

/* Too much is held for others: the client may try again. */
static void conn_refuse_busy(struct http_conn *c)
{
    (void)http_add_header(&c->req, "Retry-After", "1");
    conn_refuse_as(c, ERROR_UNAVAILABLE);
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
        conn_close(c);
    else if (c->state != CONN_LINGER)
        conn_linger(c);
}

/* --- the states --- */

static void conn_begin(struct http_conn *c)
{
    struct http_request *req = &c->req;
    req->id = ++c->server->next_id;
    req->started_ns = uv_hrtime();
    req->ctx = c->server->app->ctx;
    req->secure = stream_is_secure(&c->stream);
    req->body_mode = HTTP_BODY_BUFFER;
    req->body_limit = 0;
    req->app = NULL;
    req->writable = NULL;
    req->status = 0;
    c->answer = (struct http_answer){.left = -1};
    c->wait = WAIT_NONE;
}

static void conn_head(struct http_conn *c)
{
    struct http_request *req = &c->req;
    conn_begin(c);
    c->body_done = !c->parser.has_body;
    c->body_paused = false;
    c->owes_continue = c->parser.expects_continue;
    c->owes_ready = c->owes_gone = true;
    c->state = c->body_done ? CONN_HANDLE : CONN_BODY;
    c->server->app->head(req);
    unsigned int total_ms = req->body_mode == HTTP_BODY_BUFFER
                                ? c->server->limits.buffered_total_ms
                                : c->server->limits.streamed_total_ms;
    c->body_due = total_ms != 0 ? uv_now(c->server->loop) + total_ms : 0;
    if (c->answer.state == ANSWER_DONE || c->body_done || req->body_mode != HTTP_BODY_BUFFER)
        return;
    if (req->content_length > 0 && (uint64_t)req->content_length > req->body_limit)
        conn_refuse_as(c, ERROR_BODY_TOO_LARGE);
}

static bool conn_step_head(struct http_conn *c)
{
    if (c->in_len == 0) {
        if (c->server->stopping && c->state == CONN_IDLE && stream_unsent(&c->stream) == 0)
            conn_close(c);
        else if (c->server->stopping && c->state == CONN_IDLE)
            conn_linger(c);
        return false;
    }
    /* A client that does not read its answers gets no more of them made. */
    if (!stream_writable(&c->stream))
        return false;
    switch (http_parser_next(&c->parser, &c->in, &c->in_len)) {
    case HTTP_PARSER_HEAD:
        conn_head(c);
        return true;
    case HTTP_PARSER_MORE:
        c->state = c->parser.in_head ? CONN_HEAD : CONN_IDLE;
        return false;
    default:
        conn_begin(c);
        conn_refuse(c, &c->parser.error);
        return true;
    }
}

static void conn_next(struct http_conn *c)
{
    struct http_request *req = &c->req;
    http_parser_reset(&c->parser);
    arena_reset(&req->arena);
    buf_done(&req->body);
    buf_reset(&req->extra_headers);
    req->method = METHOD_GET;
    c->owes_writable = false;
    c->state = CONN_IDLE;
}

static bool conn_answered(struct http_conn *c)
{
    conn_gone(c, false);
    if (!c->answer.keep)
        conn_linger(c);
    else if (!c->body_done)
        c->state = CONN_DISCARD;
    else
        conn_next(c);
    return true;
}

static void conn_piece(struct http_conn *c)
{
    struct http_request *req = &c->req;
    const struct http_parser *p = &c->parser;
    if (req->body_mode == HTTP_BODY_STREAM)
        c->server->app->body(req, p->piece, p->piece_len);
    else if (p->piece_len > req->body_limit - MIN(req->body.len, req->body_limit))
        conn_refuse_as(c, ERROR_BODY_TOO_LARGE);
    else if (buf_append(&req->body, p->piece, p->piece_len) < 0 || !conn_charge(c, req->body.cap))
        conn_refuse_busy(c);
}

static bool conn_step_body(struct http_conn *c)
{
    if (c->answer.state == ANSWER_DONE)
        return conn_answered(c);
    if (c->body_paused)
        return false;
    if (c->owes_continue) {
        c->owes_continue = false;
        uv_buf_t b = {.base = (char *)conn_continue.data, .len = conn_continue.len};
        if (c->in_len == 0 && c->answer.state == ANSWER_NONE)
            http_conn_send(c, &b, 1, NULL);
        return true;
    }
    switch (http_parser_next(&c->parser, &c->in, &c->in_len)) {
    case HTTP_PARSER_BODY:
        conn_piece(c);
        return true;
    case HTTP_PARSER_DONE:
        c->body_done = true;
        c->state = CONN_HANDLE;
        return true;
    case HTTP_PARSER_MORE:
        return false;
    default:
        conn_refuse(c, &c->parser.error);
        return true;
    }
}

static bool conn_step_handle(struct http_conn *c)
{
    if (c->answer.state == ANSWER_DONE)
        return conn_answered(c);
    if (!c->owes_ready || c->body_paused)
        return false;
    c->owes_ready = false;
    c->server->app->ready(&c->req);
    return true;
}

static bool conn_step_discard(struct http_conn *c)
{
    switch (http_parser_next(&c->parser, &c->in, &c->in_len)) {
    case HTTP_PARSER_BODY:
        return true;
    case HTTP_PARSER_DONE:
        conn_next(c);
        return true;
    case HTTP_PARSER_MORE:
        return false;
    default:
        conn_linger(c);
        return true;
    }
}

static bool conn_step_raw(struct http_conn *c)
{
    if (c->answer.state == ANSWER_DONE) {
        conn_gone(c, false);
        conn_linger(c);
        return true;
    }
    if (c->body_paused)
        return false;
    if (c->in_len > 0) {
        const uint8_t *data = c->in;
        size_t len = c->in_len;
        c->in += len;
        c->in_len = 0;
        c->raw->data(&c->req, data, len);
        return true;
    }
    if (c->ended && c->owes_ended) {
        c->owes_ended = false;
        c->raw->ended(&c->req);
        return true;
    }
    return false;
}

static bool conn_step_linger(struct http_conn *c)
{
    c->lingered += c->in_len;
    c->in_len = 0;
    if (c->lingered > HTTP_LINGER_BYTES)
        conn_close(c);
    return false;
}

static bool (*const conn_steps[])(struct http_conn *c) = {
    [CONN_IDLE] = conn_step_head,       [CONN_HEAD] = conn_step_head,
    [CONN_BODY] = conn_step_body,       [CONN_HANDLE] = conn_step_handle,
    [CONN_DISCARD] = conn_step_discard, [CONN_RAW] = conn_step_raw,
    [CONN_LINGER] = conn_step_linger,
};

/* --- the time-outs ---
 *
 * One timer serves them all. It is started only when it would fire too late and is never moved
 * back, so a busy keep-alive connection stores deadlines and leaves the timer alone. */

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

/* Bytes that have passed in the direction of the wait. */
static uint64_t conn_progress(const struct http_conn *c, enum http_wait wait)
{
    return wait == WAIT_BODY ? c->stream.bytes_in : c->stream.bytes_out - stream_unsent(&c->stream);
}

/* Whether enough has passed since the wait began: bytes one by one must not hold a connection. */
static bool conn_progresses(const struct http_conn *c, enum http_wait wait)
{
    uint64_t least = (uint64_t)c->server->limits.min_rate * conn_wait_ms(c, wait) / 1000;
    return conn_progress(c, wait) - c->progress >= MAX(least, (uint64_t)1);
}

static bool conn_body_is_late(const struct http_conn *c)
{
    return c->body_due != 0 && uv_now(c->server->loop) >= c->body_due;
}

static void conn_update_timer(struct http_conn *c)
{
    enum http_wait wait = conn_wait(c);
    uint64_t now = uv_now(c->server->loop);
    if (wait != c->wait) {
        c->wait = wait;
        c->since = now;
        c->deadline = now + conn_wait_ms(c, wait);
        if (wait == WAIT_BODY && c->body_due != 0)
            c->deadline = MIN(c->deadline, c->body_due);
        c->progress = conn_progress(c, wait);
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
        conn_update_timer(c);
    }
}

static void conn_timeout(struct http_conn *c)
{
    switch (c->wait) {
    case WAIT_HEAD:
        conn_begin(c);
        conn_refuse_as(c, ERROR_REQUEST_TIMEOUT);
        break;
    case WAIT_BODY:
        if (c->state == CONN_BODY)
            conn_refuse_as(c, ERROR_REQUEST_TIMEOUT);
        else
            conn_close(c);
        break;
    case WAIT_WRITE:
        if (stream_unsent(&c->stream) > 0 && !conn_progresses(c, WAIT_WRITE))
            http_conn_abort(c);
        c->wait = WAIT_NONE;
        break;
    case WAIT_HANDSHAKE:
    case WAIT_IDLE:
    case WAIT_LINGER:
        conn_close(c);
        break;
    case WAIT_NONE:
        break;
    }
}

/* --- the tick --- */

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
        conn_timeout(c);
        return true;
    }
    if (c->owes_writable && c->owes_gone && stream_writable(&c->stream)) {
        c->owes_writable = false;
        if (c->req.writable != NULL && c->answer.state != ANSWER_DONE)
            c->req.writable(&c->req);
        return true;
    }
    return conn_steps[c->state](c);
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
    conn_update_timer(c);
}

void http_conn_tick(struct http_conn *c)
{
    conn_run(c, c->ahead.data, c->ahead.len);
}

/* --- from the stream --- */

/* The TLS handshake is complete. */
static void conn_on_opened(struct stream *stream, int status)
{
    (void)status;
    http_conn_tick(container_of(stream, struct http_conn, stream));
}

static void conn_on_data(struct stream *stream, const uint8_t *data, size_t len)
{
    struct http_conn *c = container_of(stream, struct http_conn, stream);
    if (c->wait == WAIT_BODY && conn_progresses(c, WAIT_BODY) && !conn_body_is_late(c))
        c->wait = WAIT_NONE; /* it counts anew */
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

static const struct stream_handler conn_stream_handler = {
    .opened = conn_on_opened,
    .data = conn_on_data,
    .ended = conn_on_ended,
    .drained = conn_on_drained,
    .closed = conn_on_stream_closed,
};

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
    if (rv == 0)
        c->address = tally_take(&server->addresses, http_peer(&c->req));
    arena_done(&c->req.arena); /* of the address's text: an idle connection holds no memory */
    if (rv == 0 && !http_server_admit(server, c))
        rv = -EMFILE;
    if (rv == 0 && server->tls != NULL)
        rv = stream_start_tls(&c->stream, server->tls);
    if (rv < 0) {
        conn_close(c);
        return rv;
    }
    stream_read_start(&c->stream);
    conn_run(c, NULL, 0);
    return 0;
}

/* --- from the app and the server --- */

uint64_t http_conn_waits_since(const struct http_conn *c)
{
    bool waits = c->wait == WAIT_HANDSHAKE || c->wait == WAIT_IDLE || c->wait == WAIT_HEAD ||
                 c->wait == WAIT_BODY || c->wait == WAIT_LINGER;
    return waits && c->state != CONN_CLOSING ? c->since : 0;
}

void http_conn_kick(struct http_conn *c)
{
    if (!c->in_tick && c->state != CONN_CLOSING)
        http_server_defer(c->server, &c->deferred);
}

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
