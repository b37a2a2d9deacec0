/* SPDX-License-Identifier: Apache-2.0 */
/* test_abort.c - clients that go away, back-pressure, and stopping the server. */
#include "t_http.h"

#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif

/* What a client has sent when it goes away, and whether the app hears of it. */
static const struct {
    const char *sent;
    unsigned int heads;
} states[] = {
    {"", 0},
    {"GET /he", 0},
    {"GET /hello HTTP/1.1\r\nHost: x\r\n", 0},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", 1},
    {"POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", 1},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 1},
    {"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n", 1},
    {"GET /hold HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 1},
    {"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n", 1},
};

static void client_goes(void)
{
    t_http_start();
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        for (int reset = 0; reset < 2; reset++) {
            struct t_client c;
            unsigned int heads = t_seen.heads, aborted = t_seen.gone_aborted;
            t_client_open(&c);
            t_client_send(&c, states[i].sent);
            t_loop_run_ms(&t_loop, 5);
            T_EQ(http_server_connections(&t_server), 1);
            if (reset)
                t_client_reset(&c);
            else
                t_client_close(&c);
            uint64_t start = uv_hrtime();
            T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
            T_TRUE(uv_hrtime() - start < 500000000);
            T_EQ(t_seen.heads - heads, states[i].heads);
            T_EQ(t_seen.gone_aborted - aborted, states[i].heads);
        }
    }
    t_http_stop();
}

/* Half a close while the request is in the app's hands counts as going away. */
static void client_half_closes(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    T_UNTIL(&t_loop, t_seen.held != NULL);
    T_EQ(shutdown(c.fd, SHUT_WR), 0);
    T_UNTIL(&t_loop, t_seen.gone_aborted == 1);
    T_CLIENT_UNTIL(&c, c.eof || c.error != 0);
    t_client_close(&c);
    /* An answer that was made already is delivered in full. */
    t_client_open(&c);
    t_client_send(&c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    T_EQ(shutdown(c.fd, SHUT_WR), 0);
    struct t_answer a = {0};
    t_client_answer(&c, &a);
    T_EQ(a.body.len, T_HTTP_BIG);
    t_client_expect_eof(&c);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    t_client_close(&c);
    buf_done(&a.body);
    t_http_stop();
}

/* The app aborts an answer: the client cannot take it for a whole one. */
static void app_aborts(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /cut HTTP/1.1\r\nHost: x\r\n\r\n");
    T_CLIENT_UNTIL(&c, c.eof || c.error != 0);
    T_TRUE(strstr(buf_cstr(&c.in), "\r\n\r\nabc") != NULL);
    T_EQ(t_seen.gone_aborted, 1);
    t_client_close(&c);
    t_http_stop();
}

/* Whatever the app does with a request whose client has gone, until it hears of it: nothing
 * happens. */
static void app_answers_the_dead(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    T_UNTIL(&t_loop, t_seen.held != NULL);
    t_client_reset(&c);
    struct http_request *req = t_seen.held;
    http_reply_start(req, 200, "text/plain", -1);
    for (int i = 0; i < 100; i++)
        http_reply_write(req, "piece", 5);
    T_EQ(t_seen.gone_aborted, 0);
    T_UNTIL(&t_loop, t_seen.gone_aborted == 1);
    t_http_stop();
}

/* A client that does not read: the app is told to stop early, and told when to go on. */
static void flood_back_pressure(void)
{
    struct t_client c;
    struct rusage before, after;
    char data[65536];
    size_t got = 0;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
    T_UNTIL(&t_loop, t_seen.flooded > 0);
    t_loop_run_ms(&t_loop, 50);
    uint64_t flooded = t_seen.flooded;
    struct http_conn *conn = t_seen.held->conn;
    T_TRUE(stream_unsent(&conn->stream) <= STREAM_HIGH_WATER + 20000);
    t_loop_run_ms(&t_loop, 20);
    T_EQ(t_seen.flooded, flooded);
    getrusage(RUSAGE_SELF, &before);
    while (got < 200 * T_HTTP_BIG) {
        ssize_t n = recv(c.fd, data, sizeof(data), 0);
        got += n > 0 ? (size_t)n : 0;
        if (n <= 0)
            t_loop_turn(&t_loop);
        T_TRUE(stream_unsent(&conn->stream) <= STREAM_HIGH_WATER + 20000);
    }
    getrusage(RUSAGE_SELF, &after);
    if (!SANITIZED) /* a sanitizer holds freed memory back */
        T_TRUE(after.ru_maxrss - before.ru_maxrss < 4096);
    t_client_close(&c);
    T_UNTIL(&t_loop, t_seen.gone_aborted == 1);
    t_http_stop();
}

/* Answers nobody reads stop the handling of further requests. */
static void unread_answers(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    for (int i = 0; i < 100; i++)
        t_client_send(&c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    t_loop_run_ms(&t_loop, 50);
    T_TRUE(t_seen.heads < 20);
    for (int i = 0; i < 100; i++) {
        struct t_answer a = {0};
        t_client_answer(&c, &a);
        T_EQ(a.body.len, T_HTTP_BIG);
        buf_done(&a.body);
    }
    T_EQ(t_seen.gone_done, 100);
    t_client_close(&c);
    t_http_stop();
}

/* Sends until nothing has moved for a while; returns the bytes taken. */
static size_t send_until_stuck(struct t_client *c, size_t max)
{
    static char block[65536];
    size_t sent = 0;
    for (int quiet = 0; quiet < 20 && sent < max;) {
        size_t n = t_client_try_send(c, block, MIN(sizeof(block), max - sent));
        sent += n;
        quiet = n == 0 ? quiet + 1 : 0;
        (void)uv_run(&t_loop, UV_RUN_NOWAIT);
    }
    return sent;
}

/* A paused body: the socket fills up, the app is not called, and nothing is lost. */
static void paused_body(void)
{
    const size_t total = 64 * 1024 * 1024;
    struct t_client c;
    char text[128];
    t_http_start();
    t_client_open(&c);
    snprintf(text, sizeof(text), "PUT /pause HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
             total);
    t_client_send(&c, text);
    size_t sent = 0;
    for (int round = 0; round < 4; round++) {
        uint64_t before = t_seen.body_bytes;
        sent += send_until_stuck(&c, total - sent);
        T_TRUE(sent < total);
        T_EQ(t_seen.body_bytes, before);
        T_TRUE(t_seen.held->conn->ahead.len <= HTTP_MAX_PIPELINE);
        http_body_resume(t_seen.held);
        T_UNTIL(&t_loop, t_seen.body_bytes > before);
        http_body_pause(t_seen.held);
        T_UNTIL(&t_loop, list_empty(&t_seen.held->conn->deferred));
    }
    http_body_resume(t_seen.held);
    while (sent < total)
        sent += send_until_stuck(&c, total - sent);
    snprintf(text, sizeof(text), "%zu", total);
    t_client_expect(&c, 200, text);
    t_client_close(&c);
    t_http_stop();
}

/* --- stopping --- */

static void stop_idle(void)
{
    struct t_client c[3];
    t_http_start();
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        t_client_open(&c[i]);
    t_client_send(&c[0], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c[0], 200, "hello");
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 3);
    uint64_t start = uv_hrtime();
    http_server_stop(&t_server, 5000, t_http_on_stopped);
    T_TRUE(!t_seen.stopped);
    T_UNTIL(&t_loop, t_seen.stopped);
    T_TRUE(uv_hrtime() - start < 1000000000);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
        t_client_expect_eof(&c[i]);
        t_client_close(&c[i]);
    }
    t_loop_close(&t_loop);
}

/* A request in the app's hands is finished, and its connection says that it closes. */
static void stop_busy(void)
{
    struct t_client c;
    struct t_answer a = {0};
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    T_UNTIL(&t_loop, t_seen.held != NULL);
    http_server_stop(&t_server, 5000, t_http_on_stopped);
    t_loop_run_ms(&t_loop, 20);
    T_TRUE(!t_seen.stopped);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t_server_port())};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    T_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), -1);
    T_EQ(errno, ECONNREFUSED);
    close(fd);
    t_http_release();
    t_client_answer(&c, &a);
    T_STR(t_answer_header(&a, "Connection"), "close");
    T_STR(buf_cstr(&a.body), "released");
    t_client_expect_eof(&c);
    t_client_close(&c);
    T_UNTIL(&t_loop, t_seen.stopped);
    T_EQ(t_seen.gone_done, 1);
    buf_done(&a.body);
    t_loop_close(&t_loop);
}

static void stop_grace(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    T_UNTIL(&t_loop, t_seen.held != NULL);
    uint64_t start = uv_hrtime();
    http_server_stop(&t_server, 100, t_http_on_stopped);
    T_UNTIL(&t_loop, t_seen.stopped);
    uint64_t ms = (uv_hrtime() - start) / 1000000;
    T_TRUE(ms >= 80 && ms < 1000);
    T_EQ(t_seen.gone_aborted, 1);
    t_client_close(&c);
    t_loop_close(&t_loop);
}

/* Stopped in each state of a connection, N turns after the bytes were sent. */
static void stop_after_turns(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        for (int turns = 0; turns < 4; turns++) {
            struct t_client c;
            t_http_start();
            t_client_open(&c);
            t_client_send(&c, states[i].sent);
            for (int n = 0; n < turns; n++)
                (void)uv_run(&t_loop, UV_RUN_NOWAIT);
            t_http_stop();
            t_client_close(&c);
        }
    }
}

T_MAIN(T_CASE(client_goes), T_CASE(client_half_closes), T_CASE(app_aborts),
       T_CASE(app_answers_the_dead), T_CASE(flood_back_pressure), T_CASE(unread_answers),
       T_CASE(paused_body), T_CASE(stop_idle), T_CASE(stop_busy), T_CASE(stop_grace),
       T_CASE(stop_after_turns))
