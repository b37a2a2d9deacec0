/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_http.h - an HTTP server and its clients in one process: a small app whose routes do what the
 * tests need, and raw client sockets. Every wait turns the loop of the server.
 *
 * Routes: /hello (fixed), /echo (buffered body, 64 KiB at most), /sink (streamed body, counted),
 * /hold (answered by t_http_release), /big (1 MiB fixed), /chunks (three pieces), /length
 * (declared, two pieces), /empty (204), /extra (405, a header added), /flood (as much as the client
 * takes), /long (the same up to a declared length), /early (answered before the body), /cut
 * (aborted in the middle), /pause (streamed body, paused at its start).
 */
#ifndef CORRAL_T_HTTP_H
#define CORRAL_T_HTTP_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/conn.h"
#include "http/server.h"
#include "t_loop.h"

#define T_HTTP_BIG   (1024 * 1024)
#define T_HTTP_LIMIT 65536
#define T_HTTP_LONG  (48 << 20) /* more than a slow reader of test_limits takes */

static uv_loop_t t_loop;
static struct http_server t_server;

/* What the app has seen. */
static struct {
    unsigned int heads, readies, gone_done, gone_aborted, raw_ended;
    uint64_t body_bytes;
    int last_status;
    char last_path[256], last_query[256], last_body[256];
    enum http_method last_method;
    struct http_request *held; /* of /hold, /flood, /long, /pause and /sink */
    bool stopped;
    uint64_t flooded;
} t_seen;

static bool t_path_is(const struct http_request *req, const char *path)
{
    return strcmp(req->path.data, path) == 0;
}

static void t_flood(struct http_request *req)
{
    static char block[16384];
    memset(block, 'f', sizeof(block));
    while (http_reply_writable(req)) {
        if (t_path_is(req, "/long") && t_seen.flooded == T_HTTP_LONG) {
            http_reply_end(req);
            return;
        }
        http_reply_write(req, block, sizeof(block));
        t_seen.flooded += sizeof(block);
    }
}

static void t_app_head(struct http_request *req)
{
    t_seen.heads++;
    t_seen.last_method = req->method;
    snprintf(t_seen.last_path, sizeof(t_seen.last_path), "%s", req->path.data);
    snprintf(t_seen.last_query, sizeof(t_seen.last_query), "%s", req->query.data);
    if (t_path_is(req, "/echo"))
        req->body_limit = T_HTTP_LIMIT;
    if (t_path_is(req, "/hold"))
        req->body_limit = 1024;
    if (t_path_is(req, "/sink") || t_path_is(req, "/pause")) {
        req->body_mode = HTTP_BODY_STREAM;
        t_seen.held = req;
    }
    if (t_path_is(req, "/pause"))
        http_body_pause(req);
    if (t_path_is(req, "/early"))
        http_reply(req, 403, "text/plain", "no", 2);
}

static void t_app_body(struct http_request *req, const uint8_t *data, size_t len)
{
    (void)data;
    T_TRUE(req == t_seen.held);
    t_seen.body_bytes += len;
}

/* /raw: every byte comes back, and the end is answered with the end. */
static void t_raw_data(struct http_request *req, const uint8_t *data, size_t len)
{
    t_seen.body_bytes += len;
    http_raw_write(req, data, len);
    if (!http_reply_writable(req))
        http_body_pause(req);
}

static void t_raw_ended(struct http_request *req)
{
    t_seen.raw_ended++;
    http_raw_write(req, "bye", 3);
    http_raw_end(req);
}

static const struct http_raw t_raw = {.data = t_raw_data, .ended = t_raw_ended};

static void t_app_ready(struct http_request *req)
{
    t_seen.readies++;
    if (t_path_is(req, "/hello") || t_path_is(req, "/")) {
        http_reply(req, 200, "text/plain", "hello", 5);
    } else if (t_path_is(req, "/echo")) {
        snprintf(t_seen.last_body, sizeof(t_seen.last_body), "%.*s", (int)MIN(req->body.len, 255),
                 req->body.len > 0 ? (const char *)req->body.data : "");
        http_reply_buf(req, 200, "application/octet-stream", &req->body);
    } else if (t_path_is(req, "/sink") || t_path_is(req, "/pause")) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)t_seen.body_bytes);
        http_reply(req, 200, "text/plain", text, (size_t)n);
    } else if (t_path_is(req, "/hold")) {
        t_seen.held = req;
    } else if (t_path_is(req, "/big")) {
        struct buf b = {0};
        T_EQ(buf_reserve(&b, T_HTTP_BIG), 0);
        memset(b.data, 'b', T_HTTP_BIG);
        b.len = T_HTTP_BIG;
        http_reply_buf(req, 200, "text/plain", &b);
        T_TRUE(b.data == NULL);
    } else if (t_path_is(req, "/chunks")) {
        http_reply_start(req, 200, "text/plain", -1);
        http_reply_write(req, "one", 3);
        http_reply_write(req, "", 0);
        http_reply_write(req, "twotwo", 6);
        http_reply_write(req, "sixteen bytes ..", 16);
        http_reply_end(req);
    } else if (t_path_is(req, "/length")) {
        http_reply_start(req, 200, "text/plain", 6);
        http_reply_write(req, "abc", 3);
        http_reply_write(req, "def", 3);
        http_reply_end(req);
    } else if (t_path_is(req, "/raw")) {
        T_EQ(http_upgrade(req, &t_raw), 0);
        T_EQ(http_upgrade(req, &t_raw), -EINVAL);
        t_seen.held = req;
        req->writable = http_body_resume;
        http_raw_write(req, "HTTP/1.1 101 Switching Protocols\r\n\r\n", 36);
        http_reply(req, 500, "text/plain", "x", 1); /* too late: ignored */
    } else if (t_path_is(req, "/empty")) {
        http_reply(req, 204, NULL, NULL, 0);
    } else if (t_path_is(req, "/extra")) {
        int rv = http_add_header(req, "Allow", "GET, POST");
        T_TRUE(rv == 0 || rv == -ENOMEM);
        T_EQ(http_add_header(req, "X-Bad", "a\r\nb"), -EINVAL);
        http_reply(req, 405, "text/plain", "", 0);
    } else if (t_path_is(req, "/cut")) {
        http_reply_start(req, 200, "text/plain", 6);
        http_reply_write(req, "abc", 3);
        http_reply_abort(req);
    } else if (t_path_is(req, "/flood") || t_path_is(req, "/long")) {
        t_seen.held = req;
        req->writable = t_flood;
        http_reply_start(req, 200, "text/plain", t_path_is(req, "/long") ? T_HTTP_LONG : -1);
        t_flood(req);
    } else {
        struct error err;
        error_set(&err, ERROR_NOT_FOUND, "No such route");
        http_reply_error(req, &err);
    }
}

static void t_app_gone(struct http_request *req, bool aborted)
{
    if (aborted)
        t_seen.gone_aborted++;
    else
        t_seen.gone_done++;
    t_seen.last_status = req->status;
    if (t_seen.held == req)
        t_seen.held = NULL;
}

static void t_app_error(struct buf *out, const struct error *err)
{
    (void)buf_printf(out, "{\"error\":\"%s\"}", error_name(err->code));
}

static const struct http_app t_app = {
    .head = t_app_head,
    .body = t_app_body,
    .ready = t_app_ready,
    .gone = t_app_gone,
    .error_body = t_app_error,
};

static inline void t_http_start_with(struct http_limits limits)
{
    struct error err = {0};
    memset(&t_seen, 0, sizeof(t_seen));
    t_loop_open(&t_loop);
    if (http_server_init(&t_server, &t_loop, "127.0.0.1:0", &t_app, &limits, &err) < 0)
        T_FAIL("%s", err.message);
    http_server_start(&t_server);
}

static inline void t_http_start(void)
{
    t_http_start_with((struct http_limits)HTTP_LIMITS_DEFAULT);
}

static void t_http_on_stopped(struct http_server *s)
{
    (void)s;
    t_seen.stopped = true;
}

static inline void t_http_stop(void)
{
    http_server_stop(&t_server, 0, t_http_on_stopped);
    T_UNTIL(&t_loop, t_seen.stopped);
    t_loop_close(&t_loop);
    T_EQ(t_seen.heads, t_seen.gone_done + t_seen.gone_aborted);
}

static inline void t_http_release(void)
{
    T_TRUE(t_seen.held != NULL);
    http_reply(t_seen.held, 200, "text/plain", "released", 8);
}

/* --- clients --- */

struct t_client {
    int fd;
    struct buf in; /* received and not yet taken */
    bool eof;
    int error;
};

static inline int t_server_port(void)
{
    return atoi(strrchr(http_server_address(&t_server), ':') + 1);
}

static inline void t_client_open(struct t_client *c)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t_server_port())};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *c = (struct t_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const int on = 1;
    T_TRUE(c->fd >= 0);
    T_EQ(connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    T_EQ(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    T_EQ(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

static inline void t_client_close(struct t_client *c)
{
    close(c->fd);
    buf_done(&c->in);
}

/* Closes with a reset instead of a FIN. */
static inline void t_client_reset(struct t_client *c)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    T_EQ(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    t_client_close(c);
}

/* Bytes the socket takes now. */
static inline size_t t_client_try_send(struct t_client *c, const void *data, size_t len)
{
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
    return n > 0 ? (size_t)n : 0;
}

static inline void t_client_send_bytes(struct t_client *c, const void *data, size_t len)
{
    const char *at = data;
    uint64_t end = uv_hrtime() + T_LOOP_CAP_MS * 1000000ull;
    while (len > 0) {
        size_t n = t_client_try_send(c, at, len);
        at += n;
        len -= n;
        if (len > 0)
            t_loop_turn(&t_loop);
        T_TRUE(uv_hrtime() < end);
    }
}

static inline void t_client_send(struct t_client *c, const char *text)
{
    t_client_send_bytes(c, text, strlen(text));
}

static inline void t_client_poll(struct t_client *c)
{
    char data[65536];
    t_loop_turn(&t_loop);
    ssize_t n = recv(c->fd, data, sizeof(data), 0);
    if (n > 0)
        T_EQ(buf_append(&c->in, data, (size_t)n), 0);
    else if (n == 0)
        c->eof = true;
    else if (errno != EAGAIN)
        c->error = errno;
}

/* Polls until the condition holds. */
#define T_CLIENT_UNTIL(c, condition)                                                               \
    do {                                                                                           \
        uint64_t end_ = uv_hrtime() + T_LOOP_CAP_MS * 1000000ull;                                  \
        while (!(condition)) {                                                                     \
            t_client_poll(c);                                                                      \
            if (uv_hrtime() > end_)                                                                \
                T_FAIL("waited for: %s; received %zu bytes: %.300s", #condition, (c)->in.len,      \
                       buf_cstr(&(c)->in));                                                        \
        }                                                                                          \
    } while (0)

static inline void t_client_expect_eof(struct t_client *c)
{
    T_CLIENT_UNTIL(c, c->eof || c->error != 0);
    T_EQ(c->error, 0);
    T_EQ(c->in.len, 0);
}

/* One answer, taken off the input. */
struct t_answer {
    int status;
    char head[2048];
    struct buf body;
    bool head_request; /* set by the caller: no body follows whatever the head says */
};

static inline const char *t_answer_header(const struct t_answer *a, const char *name)
{
    static char value[256];
    size_t len = strlen(name);
    for (const char *line = strstr(a->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + len + 2, "\r"),
                     line + len + 2);
            return value;
        }
    }
    return NULL;
}

/* True when `c->in` holds a whole answer, which is then consumed. */
static inline bool t_answer_take(struct t_client *c, struct t_answer *a)
{
    char *text = buf_cstr(&c->in);
    char *end = c->in.len > 0 ? strstr(text, "\r\n\r\n") : NULL;
    if (end == NULL)
        return false;
    size_t head_len = (size_t)(end - text) + 4;
    T_TRUE(head_len < sizeof(a->head));
    memcpy(a->head, text, head_len);
    a->head[head_len] = '\0';
    T_EQ(sscanf(text, "HTTP/1.1 %d ", &a->status), 1);
    buf_reset(&a->body);
    size_t at = head_len;
    const char *coding = t_answer_header(a, "Transfer-Encoding");
    const char *length = t_answer_header(a, "Content-Length");
    if (a->head_request || a->status == 100 || a->status == 204) {
        /* no body */
    } else if (coding != NULL) {
        for (size_t size = 1; size > 0;) {
            char *line_end = memmem(text + at, c->in.len - at, "\r\n", 2);
            if (line_end == NULL)
                return false;
            size = strtoul(text + at, NULL, 16);
            at = (size_t)(line_end - text) + 2;
            if (c->in.len - at < size + 2)
                return false;
            T_EQ(buf_append(&a->body, text + at, size), 0);
            T_MEM(text + at + size, 2, "\r\n", 2);
            at += size + 2;
        }
    } else if (length != NULL) {
        size_t size = strtoul(length, NULL, 10);
        if (c->in.len - at < size)
            return false;
        T_EQ(buf_append(&a->body, text + at, size), 0);
        at += size;
    } else {
        if (!c->eof)
            return false;
        T_EQ(buf_append(&a->body, text + at, c->in.len - at), 0);
        at = c->in.len;
    }
    buf_consume(&c->in, at);
    return true;
}

static inline void t_client_answer(struct t_client *c, struct t_answer *a)
{
    T_CLIENT_UNTIL(c, t_answer_take(c, a));
}

static inline void t_client_expect(struct t_client *c, int status, const char *body)
{
    struct t_answer a = {0};
    t_client_answer(c, &a);
    if (a.status != status)
        T_FAIL("status %d, expected %d; body %s", a.status, status, buf_cstr(&a.body));
    if (body != NULL)
        T_STR(buf_cstr(&a.body), body);
    buf_done(&a.body);
}

/* A connection of its own: sends, expects the status and then the end. */
static inline void t_expect_refusal(const char *request, int status)
{
    struct t_client c;
    t_client_open(&c);
    t_client_send(&c, request);
    t_client_expect(&c, status, NULL);
    t_client_expect_eof(&c);
    t_client_close(&c);
}

#endif
