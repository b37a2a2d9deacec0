/* SPDX-License-Identifier: Apache-2.0 */
/* response.c - writing answers: whole, in pieces of a declared length, or chunked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/conn.h"
#include "http/server.h"

static const struct {
    int status;
    const char *reason;
} http_statuses[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

static const char *response_reason(int status)
{
    for (size_t i = 0; i < ARRAY_SIZE(http_statuses); i++) {
        if (http_statuses[i].status == status)
            return http_statuses[i].reason;
    }
    return "Unknown";
}

int http_add_header(struct http_request *req, const char *name, const char *value)
{
    for (const char *at = value; *at != '\0'; at++) {
        if ((*at < ' ' && *at > 0 && *at != '\t') || *at == 0x7f)
            return -EINVAL;
    }
    struct buf *b = &req->extra_headers;
    (void)buf_append_str(b, name);
    (void)buf_append(b, ": ", 2);
    (void)buf_append_str(b, value);
    return buf_append(b, "\r\n", 2);
}

/* --- the head --- */

/* Formatted when an answer needs it and the second has changed, so no timer is needed. */
static const char *response_date(struct http_server *s)
{
    struct timespec now;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != s->date_s) {
        s->date_s = now.tv_sec;
        (void)gmtime_r(&now.tv_sec, &tm);
        (void)strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return s->date;
}

static void response_number(struct buf *b, uint64_t n)
{
    char text[20];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    (void)buf_append(b, text + at, sizeof(text) - at);
}

static size_t response_put_hex(char out[16], uint64_t n)
{
    size_t digits = 1;
    while (digits < 16 && n >> (4 * digits) != 0)
        digits++;
    for (size_t i = 0; i < digits; i++)
        out[i] = "0123456789abcdef"[n >> (4 * (digits - 1 - i)) & 15];
    return digits;
}

static bool response_has_length(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

/* `length` -1: not declared. The result is valid until the next answer of this server. */
static uv_buf_t response_make_head(struct http_request *req, int status, const char *content_type,
                                   int64_t length)
{
    const struct http_answer *answer = &req->conn->answer;
    struct http_server *s = req->conn->server;
    struct buf *b = &s->scratch;
    char id[16];

    buf_reset(b);
    (void)buf_append(b, "HTTP/1.1 ", 9);
    response_number(b, (uint64_t)status);
    (void)buf_append(b, " ", 1);
    (void)buf_append_str(b, response_reason(status));
    (void)buf_append(b, "\r\nDate: ", 8);
    (void)buf_append_str(b, response_date(s));
    if (content_type != NULL) {
        (void)buf_append(b, "\r\nContent-Type: ", 16);
        (void)buf_append_str(b, content_type);
    }
    if (length >= 0 && response_has_length(status)) {
        (void)buf_append(b, "\r\nContent-Length: ", 18);
        response_number(b, (uint64_t)length);
    } else if (answer->chunked) {
        (void)buf_append_str(b, "\r\nTransfer-Encoding: chunked");
    }
    (void)buf_append(b, "\r\nX-Request-Id: ", 16);
    (void)buf_append(b, id, response_put_hex(id, req->id));
    (void)buf_append_str(b, answer->keep ? "\r\nConnection: keep-alive\r\n"
                                         : "\r\nConnection: close\r\n");
    (void)buf_append(b, req->extra_headers.data, req->extra_headers.len);
    (void)buf_append(b, "\r\n", 2);
    if (b->failed || req->extra_headers.failed)
        req->conn->broken = true;
    return (uv_buf_t){.base = (char *)b->data, .len = b->len};
}

/* Whether the connection can go on after this answer. */
static bool response_keeps(const struct http_conn *c)
{
    const struct http_request *req = &c->req;
    if (!req->keep_alive || c->refused || c->ended || c->server->stopping)
        return false;
    if (c->body_done)
        return true;
    return !c->owes_continue && req->content_length >= 0 &&
           req->content_length <= HTTP_DISCARD_BYTES;
}

static bool response_begin(struct http_request *req, int status, int64_t length)
{
    struct http_conn *c = req->conn;
    struct http_answer *answer = &c->answer;
    if (answer->state != ANSWER_NONE || c->broken || c->state == CONN_CLOSING)
        return false;
    req->status = status;
    answer->bodyless = req->method == METHOD_HEAD || !response_has_length(status);
    answer->keep = response_keeps(c);
    answer->left = length;
    if (length < 0 && response_has_length(status)) {
        if (c->parser.minor > 0)
            answer->chunked = true;
        else
            answer->keep = false; /* HTTP/1.0: the end of the connection ends the body */
    }
    return true;
}

static void response_done(struct http_request *req)
{
    req->conn->answer.state = ANSWER_DONE;
    http_conn_kick(req->conn);
}

/* --- whole answers --- */

static void response_whole(struct http_request *req, int status, const char *content_type,
                           const void *body, size_t len, struct buf *owned)
{
    if (!response_begin(req, status, (int64_t)len)) {
        if (owned != NULL)
            buf_done(owned);
        return;
    }
    struct http_answer *answer = &req->conn->answer;
    uv_buf_t bufs[2] = {response_make_head(req, status, content_type, (int64_t)len),
                        {.base = (char *)body, .len = len}};
    if (answer->bodyless && owned != NULL)
        buf_reset(owned);
    http_conn_send(req->conn, bufs, owned != NULL || answer->bodyless ? 1 : 2, owned);
    response_done(req);
}

void http_reply(struct http_request *req, int status, const char *content_type, const void *body,
                size_t len)
{
    response_whole(req, status, content_type, body, len, NULL);
}

void http_reply_buf(struct http_request *req, int status, const char *content_type, struct buf *b)
{
    response_whole(req, status, content_type, NULL, b->len, b);
}

void http_reply_error(struct http_request *req, const struct error *err)
{
    struct buf body = {0};
    req->conn->server->app->error_body(&body, err);
    http_reply_buf(req, error_status(err->code), "application/json", &body);
}

/* --- answers in pieces --- */

void http_reply_start(struct http_request *req, int status, const char *content_type,
                      int64_t length)
{
    if (!response_begin(req, status, length))
        return;
    uv_buf_t head = response_make_head(req, status, content_type, length);
    req->conn->answer.state = ANSWER_STARTED;
    http_conn_send(req->conn, &head, 1, NULL);
}

void http_reply_write(struct http_request *req, const void *data, size_t len)
{
    struct http_answer *answer = &req->conn->answer;
    char size[18];
    uv_buf_t bufs[3] = {
        {.base = size}, {.base = (char *)data, .len = len}, {.base = (char *)"\r\n", .len = 2}};

    if (answer->state != ANSWER_STARTED || answer->bodyless || len == 0)
        return;
    if (answer->chunked) {
        size_t digits = response_put_hex(size, len);
        memcpy(size + digits, "\r\n", 2);
        bufs[0].len = digits + 2;
        http_conn_send(req->conn, bufs, 3, NULL);
        return;
    }
    if (answer->left >= 0) {
        if (len > (uint64_t)answer->left) {
            /* The client would read bytes beyond the declared length as the next answer. */
            http_reply_abort(req);
            return;
        }
        answer->left -= (int64_t)len;
    }
    http_conn_send(req->conn, &bufs[1], 1, NULL);
}

void http_reply_end(struct http_request *req)
{
    struct http_answer *answer = &req->conn->answer;
    uv_buf_t end = {.base = (char *)"0\r\n\r\n", .len = 5};
    if (answer->state != ANSWER_STARTED)
        return;
    if (!answer->bodyless && answer->left > 0) {
        http_reply_abort(req);
        return;
    }
    if (answer->chunked && !answer->bodyless)
        http_conn_send(req->conn, &end, 1, NULL);
    response_done(req);
}

void http_reply_abort(struct http_request *req)
{
    req->conn->broken = true;
    http_conn_kick(req->conn);
}

bool http_reply_writable(const struct http_request *req)
{
    struct http_conn *c = req->conn;
    if (!c->broken && stream_writable(&c->stream))
        return true;
    c->owes_writable = true;
    return false;
}
