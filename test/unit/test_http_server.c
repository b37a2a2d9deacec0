/* SPDX-License-Identifier: Apache-2.0 */
/* test_http_server.c - what a client sees when all goes well, and how the server stops. */
#include "t_http.h"

static void get(void)
{
    struct t_client c;
    struct t_answer a = {0};
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
    T_TRUE(t_answer_header(&a, "X-Request-Id") != NULL);
    T_TRUE(t_answer_header(&a, "Server") == NULL);
    T_STR(t_seen.last_path, "/hello");
    T_STR(t_seen.last_query, "a=b%20c&d");
    T_EQ(t_seen.gone_done, 1);
    t_client_send(&c, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c, 404, "{\"error\":\"not_found\"}");
    t_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
    t_client_expect(&c, 200, "body");
    buf_done(&a.body);
    t_client_close(&c);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
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
    t_client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c, 200, "hello");
    t_client_close(&c);
    t_http_stop();
}

T_MAIN(T_CASE(get), T_CASE(head))
