/* SPDX-License-Identifier: Apache-2.0 */
/* conn_state.c - the states of a connection: each has a step, which does one thing and returns
 * true, or returns false when it has to wait. */
#include "http/conn.h"
#include "http/server.h"

/*
 *   IDLE --> HEAD --> BODY --> HANDLE --+--> IDLE      the answer is complete, keep-alive
 *     |        |        |        |      +--> RAW       the app has left HTTP
 *     |        |        +--> DISCARD ---+              answered before the end of a small body
 *     |        |        |        |
 *     |        +--------+--------+--> LINGER           the last answer is on its way
 *     |        |        |        |       |
 *     +--------+--------+--------+-------+--> CLOSING --> freed
 *
 * A head or body that is there at once is parsed in the same tick: HEAD is skipped, and a
 * connection whose requests are answered at once goes from IDLE to IDLE.
 */

static const struct http_str conn_continue = {"HTTP/1.1 100 Continue\r\n\r\n", 25};

static bool conn_step_head(struct http_conn *c);
static bool conn_step_body(struct http_conn *c);
static bool conn_step_handle(struct http_conn *c);
static bool conn_step_discard(struct http_conn *c);
static bool conn_step_raw(struct http_conn *c);
static bool conn_step_linger(struct http_conn *c);

static bool (*const conn_steps[])(struct http_conn *c) = {
    [CONN_IDLE] = conn_step_head,       [CONN_HEAD] = conn_step_head,
    [CONN_BODY] = conn_step_body,       [CONN_HANDLE] = conn_step_handle,
    [CONN_DISCARD] = conn_step_discard, [CONN_RAW] = conn_step_raw,
    [CONN_LINGER] = conn_step_linger,
};

bool http_conn_step(struct http_conn *c)
{
    return conn_steps[c->state](c);
}

void http_conn_begin(struct http_conn *c)
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
    http_conn_begin(c);
    c->body_done = !c->parser.has_body;
    c->body_paused = false;
    c->owes_continue = c->parser.expects_continue;
    c->owes_ready = c->owes_gone = true;
    c->state = c->body_done ? CONN_HANDLE : CONN_BODY;
    c->server->app->head(req);
    if (c->answer.state == ANSWER_DONE || c->body_done || req->body_mode != HTTP_BODY_BUFFER)
        return;
    if (req->content_length > 0 && (uint64_t)req->content_length > req->body_limit)
        http_conn_refuse_as(c, ERROR_BODY_TOO_LARGE);
}

static bool conn_step_head(struct http_conn *c)
{
    if (c->in_len == 0) {
        if (c->server->stopping && c->state == CONN_IDLE && stream_unsent(&c->stream) == 0)
            http_conn_close(c);
        else if (c->server->stopping && c->state == CONN_IDLE)
            http_conn_linger(c);
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
        http_conn_begin(c);
        http_conn_refuse(c, &c->parser.error);
        return true;
    }
}

static void conn_piece(struct http_conn *c)
{
    struct http_request *req = &c->req;
    const struct http_parser *p = &c->parser;
    if (req->body_mode == HTTP_BODY_STREAM)
        c->server->app->body(req, p->piece, p->piece_len);
    else if (p->piece_len > req->body_limit - MIN(req->body.len, req->body_limit))
        http_conn_refuse_as(c, ERROR_BODY_TOO_LARGE);
    else if (buf_append(&req->body, p->piece, p->piece_len) < 0)
        http_conn_refuse_as(c, ERROR_UNAVAILABLE);
}

static bool conn_answered(struct http_conn *c);

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
        http_conn_refuse(c, &c->parser.error);
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
    http_conn_gone(c, false);
    if (!c->answer.keep)
        http_conn_linger(c);
    else if (!c->body_done)
        c->state = CONN_DISCARD;
    else
        conn_next(c);
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
        http_conn_linger(c);
        return true;
    }
}

static bool conn_step_raw(struct http_conn *c)
{
    if (c->answer.state == ANSWER_DONE) {
        http_conn_gone(c, false);
        http_conn_linger(c);
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
        http_conn_close(c);
    return false;
}
