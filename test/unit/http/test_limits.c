/* SPDX-License-Identifier: Apache-2.0 */
/* test_limits.c - clients that send too much, nonsense, or too slowly. */
#include "t_clock.h"
#include "t_http.h"

static void refusals(void)
{
    static const struct {
        const char *request;
        int status;
        const char *body;
    } cases[] = {
        {"GARBAGE\r\n\r\n", 501, "{\"error\":\"not_implemented\"}"},
        {"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", 501, "{\"error\":\"not_implemented\"}"},
        {"\x80\x01\x02", 400, "{\"error\":\"invalid_request\"}"},
        {"GET / HTTP/1.1\r\n\r\n", 400, "{\"error\":\"invalid_request\"}"},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, "{\"error\":\"http_version_not_supported\"}"},
        {"GET / HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n", 417,
         "{\"error\":\"expectation_failed\"}"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413,
         "{\"error\":\"body_too_large\"}"},
        {"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 413,
         "{\"error\":\"body_too_large\"}"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
         "{\"error\":\"invalid_request\"}"},
    };
    t_http_start();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct t_client c;
        struct t_answer a = {0};
        t_client_open(&c);
        t_client_send(&c, cases[i].request);
        t_client_answer(&c, &a);
        T_EQ(a.status, cases[i].status);
        T_STR(buf_cstr(&a.body), cases[i].body);
        T_STR(t_answer_header(&a, "Connection"), "close");
        T_TRUE(t_answer_header(&a, "X-Request-Id") != NULL);
        t_client_expect_eof(&c);
        t_client_close(&c);
        buf_done(&a.body);
    }
    T_EQ(t_seen.readies, 0);
    T_EQ(t_seen.gone_done, 0);
    T_EQ(t_seen.last_status, 400);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    t_http_stop();
}

/* `head` then `n` copies of `piece` as fast as the server takes them. */
static void flood_head(const char *head, const char *piece, size_t n, int status)
{
    struct t_client c;
    struct buf text = {0};
    for (size_t i = 0; i < n; i++)
        (void)buf_append_str(&text, piece);
    t_client_open(&c);
    t_client_send(&c, head);
    t_client_send_bytes(&c, text.data, text.len);
    t_client_expect(&c, status, NULL);
    t_client_expect_eof(&c);
    t_client_close(&c);
    buf_done(&text);
}

static void too_large(void)
{
    t_http_start();
    flood_head("GET /", "x", 100000, 414);
    flood_head("GET / HTTP/1.1\r\nHost: x\r\n", "a: b\r\n", 200, 431);
    flood_head("GET / HTTP/1.1\r\nHost: x\r\na: ", "x", 100000, 431);
    flood_head("GET / HTTP/1.1\r\nHost: x\r\na: ", "x", 10000000, 431);
    flood_head("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
               "4\r\nabcd\r\n", T_HTTP_LIMIT / 4 + 1, 413);
    T_EQ(t_seen.last_status, 413);
    T_EQ(t_seen.gone_aborted, 1);
    flood_head("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n", "0123456789",
               1000000, 413);
    t_http_stop();
}

static struct http_limits quick_limits(void)
{
    return (struct http_limits){
        .head_ms = 60, .body_ms = 60, .idle_ms = 60, .write_ms = 60, .max_connections = 100};
}

/* A head that comes byte by byte: the time counts from its first byte. */
static void slow_head(void)
{
    static const char request[] =
        "GET /hello HTTP/1.1\r\nHost: x\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    struct t_client c;
    uint64_t start = uv_hrtime();
    size_t at = 0;
    t_http_start_with(quick_limits());
    t_client_open(&c);
    while (c.in.len == 0 && uv_hrtime() - start < 2000000000ull) {
        if (at < sizeof(request) - 1)
            t_client_send_bytes(&c, request + at++, 1);
        t_loop_run_ms(&t_loop, 5);
        t_client_poll(&c);
    }
    uint64_t ms = (uv_hrtime() - start) / 1000000;
    t_client_expect(&c, 408, "{\"error\":\"request_timeout\"}");
    t_client_expect_eof(&c);
    T_TRUE(ms >= 50 && ms < 1000);
    T_EQ(t_seen.heads, 0);
    t_client_close(&c);
    t_http_stop();
}

/* The body may take as long as it likes while it comes, also on a machine that stands still for
 * longer than the time-out. */
static void slow_body(void)
{
    struct t_client c;
    t_http_start_with(quick_limits());
    t_client_open(&c);
    t_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        if (i == 10)
            (void)usleep(200000);
        t_loop_run_ms(&t_loop, 15);
        t_client_send(&c, "x");
    }
    t_client_expect(&c, 200, "xxxxxxxxxxxxxxxxxxxx");
    t_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nxxx");
    t_client_expect(&c, 408, "{\"error\":\"request_timeout\"}");
    T_EQ(t_seen.gone_aborted, 1);
    T_EQ(t_seen.last_status, 408);
    t_client_expect_eof(&c);
    t_client_close(&c);
    /* The rest of a body that nobody wants is not waited for longer. */
    t_client_open(&c);
    t_client_send(&c, "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nxxx");
    t_client_expect(&c, 403, "no");
    t_client_expect_eof(&c);
    t_client_close(&c);
    t_http_stop();
}

static void idle(void)
{
    struct t_client c, silent;
    t_http_start_with(quick_limits());
    t_client_open(&silent);
    t_client_open(&c);
    for (int i = 0; i < 10; i++) {
        t_loop_run_ms(&t_loop, 20);
        t_client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        t_client_expect(&c, 200, "hello");
    }
    t_client_expect_eof(&silent);
    t_client_expect_eof(&c);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    t_client_close(&c);
    t_client_close(&silent);
    /* A request that is being answered is not idle. */
    t_client_open(&c);
    t_client_send(&c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    t_loop_run_ms(&t_loop, 200);
    t_http_release();
    t_client_expect(&c, 200, "released");
    t_client_expect_eof(&c);
    t_client_close(&c);
    t_http_stop();
}

/* A client that stops reading a streamed answer, and one that stops reading a fixed one. */
static void stalled_reader(void)
{
    struct t_client c, fixed;
    t_http_start_with(quick_limits());
    t_client_open(&c);
    t_client_open(&fixed);
    t_client_send(&c, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 16; i++)
        t_client_send(&fixed, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    t_loop_run_ms(&t_loop, 50);
    T_EQ(http_server_connections(&t_server), 2);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    T_EQ(t_seen.gone_aborted, 1);
    t_client_close(&c);
    t_client_close(&fixed);
    t_http_stop();
}

/* A slow reader is not a stalled one. */
static void read_slowly(const char *request)
{
    struct t_client c;
    char data[65536];
    size_t got = 0;
    t_http_start_with(quick_limits());
    t_client_open(&c);
    t_client_send(&c, request);
    for (int i = 0; i < 40; i++) {
        t_loop_run_ms(&t_loop, 10);
        for (int j = 0; j < 16; j++) {
            ssize_t n = recv(c.fd, data, sizeof(data), 0);
            T_TRUE(n > 0 || (n < 0 && errno == EAGAIN));
            got += n > 0 ? (size_t)n : 0;
        }
    }
    T_TRUE(got > T_HTTP_BIG);
    T_EQ(http_server_connections(&t_server), 1);
    t_client_close(&c);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    t_http_stop();
}

static void slow_reader(void)
{
    read_slowly("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
}

static void slow_reader_of_a_declared_length(void)
{
    read_slowly("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
}

/* Keep-alive requests leave the timer alone: it fires rarely and late, never early. */
static void lazy_timer(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    T_UNTIL(&t_loop, t_seen.held != NULL);
    struct http_conn *conn = t_seen.held->conn;
    uint64_t due = conn->timer_due;
    t_http_release();
    t_client_expect(&c, 200, "released");
    for (int i = 0; i < 20; i++) {
        t_loop_run_ms(&t_loop, 3);
        t_client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        t_client_expect(&c, 200, "hello");
        T_EQ(conn->timer_due, due);
        T_TRUE(conn->deadline > due);
    }
    t_client_close(&c);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    /* Without connections nothing at all is due. */
    T_EQ(uv_backend_timeout(&t_loop), -1);
    t_http_stop();
}

/* Bytes one by one, each in time: too slow for a server that asks for a rate. */
static void trickling_body(void)
{
    struct t_client c;
    struct http_limits limits = quick_limits();
    limits.min_rate = 1000; /* 60 bytes in 60 ms */
    t_http_start_with(limits);
    t_client_open(&c);
    t_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    uint64_t start = uv_hrtime();
    for (int i = 0; i < 100 && t_seen.last_status != 408; i++) {
        t_loop_run_ms(&t_loop, 15);
        t_client_send(&c, "x");
    }
    uint64_t ms = (uv_hrtime() - start) / 1000000;
    printf("# a body of 1 byte in 15 ms ends after %llu ms\n", (unsigned long long)ms);
    T_TRUE(ms >= 50 && ms < 1000);
    T_EQ(t_seen.last_status, 408);
    t_client_close(&c);
    /* One that keeps the rate may not take for ever, either. */
    limits.buffered_total_ms = 150;
    t_http_stop();
    t_http_start_with(limits);
    t_client_open(&c);
    t_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n");
    for (int i = 0; i < 20 && t_seen.last_status != 408; i++) {
        t_loop_run_ms(&t_loop, 15);
        t_client_send(&c, "0123456789012345678901234567890123456789");
    }
    T_EQ(t_seen.last_status, 408);
    t_client_close(&c);
    t_http_stop();
}

/* Whoever has waited for its client the longest makes room for a new connection. */
static void crowded(void)
{
    struct t_client silent[3], c;
    struct http_limits limits = {.head_ms = 60000,
                                 .body_ms = 60000,
                                 .idle_ms = 60000,
                                 .write_ms = 60000,
                                 .max_connections = 3};
    t_http_start_with(limits);
    for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
        t_client_open(&silent[i]);
        t_loop_run_ms(&t_loop, 5);
    }
    t_client_open(&c);
    t_client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c, 200, "hello");
    t_client_expect_eof(&silent[0]);
    T_EQ(http_server_connections(&t_server), 3);
    for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
        t_client_close(&silent[i]);
    t_client_close(&c);
    t_http_stop();
    limits.max_connections = 100;
    limits.max_address = 1;
    t_http_start_with(limits);
    t_client_open(&silent[0]);
    t_loop_run_ms(&t_loop, 5);
    t_client_open(&c);
    t_client_send(&c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect_eof(&silent[0]);
    T_UNTIL(&t_loop, t_seen.heads == 1);
    t_client_open(&silent[1]); /* the other one is at work: it stays */
    t_client_expect_eof(&silent[1]);
    t_http_release();
    t_client_expect(&c, 200, "released");
    t_client_close(&silent[0]);
    t_client_close(&silent[1]);
    t_client_close(&c);
    t_http_stop();
}

T_MAIN(T_CASE(trickling_body), T_CASE(crowded), T_CASE(refusals), T_CASE(too_large),
       T_CASE(slow_head), T_CASE(slow_body), T_CASE(idle), T_CASE(stalled_reader),
       T_CASE(slow_reader), T_CASE(slow_reader_of_a_declared_length), T_CASE(lazy_timer))
