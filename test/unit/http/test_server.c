/* SPDX-License-Identifier: Apache-2.0 */
/* test_server.c - what a client sees when all goes well: answers of every form, keep-alive,
 * pipelining, bodies. */
#include "t_http.h"

static void get(void)
{
    struct t_client c;
    struct t_answer a = {0};
    char id[32];
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hello?a=b%20c&d HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_EQ(a.status, 200);
    T_STR(buf_cstr(&a.body), "hello");
    T_STR(t_answer_header(&a, "Content-Length"), "5");
    T_STR(t_answer_header(&a, "Content-Type"), "text/plain");
    T_STR(t_answer_header(&a, "Connection"), "keep-alive");
    T_TRUE(strstr(t_answer_header(&a, "Date"), " GMT") != NULL);
    snprintf(id, sizeof(id), "%s", t_answer_header(&a, "X-Request-Id"));
    T_TRUE(t_answer_header(&a, "Server") == NULL);
    T_STR(t_seen.last_path, "/hello");
    T_STR(t_seen.last_query, "a=b%20c&d");
    T_EQ(t_seen.gone_done, 1);
    t_client_send(&c, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_EQ(a.status, 404);
    T_STR(buf_cstr(&a.body), "{\"error\":\"not_found\"}");
    T_STR(t_answer_header(&a, "Content-Type"), "application/json");
    T_TRUE(strcmp(t_answer_header(&a, "X-Request-Id"), id) != 0);
    t_client_close(&c);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    buf_done(&a.body);
    t_http_stop();
}

static void head(void)
{
    struct t_client c;
    struct t_answer a = {.head_request = true};
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "HEAD /big HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_EQ(a.status, 200);
    T_STR(t_answer_header(&a, "Content-Length"), "1048576");
    t_client_send(&c, "HEAD /chunks HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_STR(t_answer_header(&a, "Transfer-Encoding"), "chunked");
    t_client_send(&c, "HEAD /length HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_STR(t_answer_header(&a, "Content-Length"), "6");
    t_client_send(&c, "HEAD /none HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_EQ(a.status, 404);
    T_STR(t_answer_header(&a, "Content-Length"), "21");
    t_client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c, 200, "hello");
    t_client_close(&c);
    t_http_stop();
}

/* Whole, chunked, of a declared length, empty, and large. */
static void answers(void)
{
    struct t_client c;
    struct t_answer a = {.head_request = true};
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /chunks HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c, 200, "onetwotwosixteen bytes ..");
    t_client_send(&c, "GET /length HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c, 200, "abcdef");
    t_client_send(&c, "DELETE /empty HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_EQ(a.status, 204);
    T_TRUE(t_answer_header(&a, "Content-Length") == NULL);
    a.head_request = false;
    t_client_send(&c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_EQ(a.body.len, T_HTTP_BIG);
    t_client_send(&c, "GET /extra HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_STR(t_answer_header(&a, "Allow"), "GET, POST");
    t_client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_TRUE(t_answer_header(&a, "Allow") == NULL);
    buf_done(&a.body);
    t_client_close(&c);
    t_http_stop();
}

static void http_1_0(void)
{
    struct t_client c;
    struct t_answer a = {0};
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    t_client_answer(&c, &a);
    T_STR(t_answer_header(&a, "Connection"), "keep-alive");
    t_client_send(&c, "GET /hello HTTP/1.0\r\n\r\n");
    t_client_answer(&c, &a);
    T_STR(t_answer_header(&a, "Connection"), "close");
    T_STR(buf_cstr(&a.body), "hello");
    t_client_expect_eof(&c);
    t_client_close(&c);
    /* No chunks: the end of the connection ends the body. */
    t_client_open(&c);
    t_client_send(&c, "GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    t_client_answer(&c, &a);
    T_STR(t_answer_header(&a, "Connection"), "close");
    T_TRUE(t_answer_header(&a, "Transfer-Encoding") == NULL);
    T_STR(buf_cstr(&a.body), "onetwotwosixteen bytes ..");
    t_client_expect_eof(&c);
    t_client_close(&c);
    buf_done(&a.body);
    t_http_stop();
}

static void connection_close(void)
{
    struct t_client c;
    struct t_answer a = {0};
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                      "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_answer(&c, &a);
    T_EQ(a.body.len, T_HTTP_BIG);
    T_STR(t_answer_header(&a, "Connection"), "close");
    t_client_expect_eof(&c);
    T_EQ(t_seen.heads, 1);
    t_client_close(&c);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    buf_done(&a.body);
    t_http_stop();
}

/* One request, sent in two parts, for every place of the cut. */
static void every_split(void)
{
    static const char request[] =
        "POST /echo?q HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: y\r\n\r\n";
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    for (size_t at = 1; at < sizeof(request) - 1; at++) {
        t_client_send_bytes(&c, request, at);
        for (int i = 0; i < 3; i++)
            (void)uv_run(&t_loop, UV_RUN_NOWAIT);
        t_client_send(&c, request + at);
        t_client_expect(&c, 200, "hello!");
    }
    T_EQ(t_seen.gone_done, sizeof(request) - 2);
    t_client_close(&c);
    t_http_stop();
}

static void bodies(void)
{
    static char body[T_HTTP_LIMIT + 1];
    struct t_client c;
    char head[128];
    memset(body, 'B', sizeof(body) - 1);
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    t_client_expect(&c, 200, "");
    t_client_send(&c, "GET /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n");
    t_client_expect(&c, 200, "");
    snprintf(head, sizeof(head), "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
             T_HTTP_LIMIT);
    t_client_send(&c, head);
    t_client_send_bytes(&c, body, T_HTTP_LIMIT);
    t_client_expect(&c, 200, body);
    t_client_close(&c);
    t_http_stop();
}

/* A burst of requests in one write: all answered, in order, the slow one first. */
static void pipelining(void)
{
    struct t_client c;
    struct buf burst = {0};
    t_http_start();
    t_client_open(&c);
    (void)buf_append_str(&burst, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 500; i++)
        (void)buf_printf(&burst, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d",
                         i);
    t_client_send_bytes(&c, burst.data, burst.len);
    T_UNTIL(&t_loop, t_seen.held != NULL);
    t_loop_run_ms(&t_loop, 10);
    T_EQ(t_seen.heads, 1);
    t_http_release();
    t_client_expect(&c, 200, "released");
    for (int i = 0; i < 500; i++) {
        char text[8];
        snprintf(text, sizeof(text), "%03d", i);
        t_client_expect(&c, 200, text);
    }
    T_EQ(t_seen.gone_done, 501);
    buf_done(&burst);
    t_client_close(&c);
    t_http_stop();
}

/* A client that sends on while its request is being answered: little is read ahead. */
static void pipeline_bounded(void)
{
    static char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    struct t_client c;
    size_t sent = 0;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    T_UNTIL(&t_loop, t_seen.held != NULL);
    for (int idle = 0; idle < 20;) {
        size_t n = t_client_try_send(&c, request, sizeof(request) - 1);
        sent += n;
        idle = n == 0 ? idle + 1 : 0;
        (void)uv_run(&t_loop, UV_RUN_NOWAIT);
        if (sent > 64 * 1024 * 1024)
            T_FAIL("the server reads without end");
    }
    struct http_conn *conn = t_seen.held->conn;
    T_TRUE(conn->ahead.len <= 2 * HTTP_MAX_PIPELINE);
    T_TRUE(conn->ahead.cap <= 4 * HTTP_MAX_PIPELINE);
    t_http_release();
    t_client_expect(&c, 200, "released");
    t_client_expect(&c, 200, "hello");
    t_client_expect(&c, 200, "hello");
    t_client_close(&c);
    t_http_stop();
}

static void expect_continue(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n"
                      "Content-Length: 2\r\n\r\n");
    t_client_expect(&c, 100, NULL);
    t_client_send(&c, "ok");
    t_client_expect(&c, 200, "ok");
    /* Nobody waits for it when the body is there already, or there is none. */
    t_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                      "Content-Length: 2\r\n\r\nok");
    t_client_expect(&c, 200, "ok");
    t_client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n");
    t_client_expect(&c, 200, "hello");
    /* A refusal takes its place, and the connection ends, for the body may follow or not. */
    t_client_send(&c, "POST /early HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                      "Content-Length: 2\r\n\r\n");
    t_client_expect(&c, 403, "no");
    t_client_expect_eof(&c);
    t_client_close(&c);
    t_http_stop();
}

/* A streamed body that the app holds back gets its 100 when the app wants it. */
static void expect_continue_paused(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "POST /pause HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                      "Content-Length: 2\r\n\r\n");
    T_UNTIL(&t_loop, t_seen.held != NULL);
    t_loop_run_ms(&t_loop, 10);
    t_client_poll(&c);
    T_EQ(c.in.len, 0);
    http_body_resume(t_seen.held);
    t_client_expect(&c, 100, NULL);
    t_client_send(&c, "ok");
    t_client_expect(&c, 200, "2");
    t_client_close(&c);
    t_http_stop();
}

/* An answer before the end of a small body keeps the connection, before that of a large one ends
 * it, and reaches the client although it goes on sending. */
static void early_answer(void)
{
    static char block[65536];
    struct t_client c;
    struct t_answer a = {0};
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
    t_client_expect(&c, 403, "no");
    t_client_send(&c, "0123456789GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c, 200, "hello");
    T_EQ(t_seen.gone_done, 2);
    t_client_send(&c, "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n");
    for (int i = 0; i < 500; i++)
        t_client_send_bytes(&c, block, sizeof(block));
    t_client_answer(&c, &a);
    T_EQ(a.status, 403);
    T_STR(t_answer_header(&a, "Connection"), "close");
    t_client_expect_eof(&c);
    t_client_close(&c);
    buf_done(&a.body);
    t_http_stop();
}

T_MAIN(T_CASE(get), T_CASE(head), T_CASE(answers), T_CASE(http_1_0), T_CASE(connection_close),
       T_CASE(every_split), T_CASE(bodies), T_CASE(pipelining), T_CASE(pipeline_bounded),
       T_CASE(expect_continue), T_CASE(expect_continue_paused), T_CASE(early_answer))
