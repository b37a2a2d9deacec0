/* SPDX-License-Identifier: Apache-2.0 */
/* test_upgrade.c - connections that leave HTTP. */
#include "t_http.h"

#define UPGRADE "GET /raw HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

static void expect_bytes(struct t_client *c, const char *text)
{
    T_CLIENT_UNTIL(c, c->in.len >= strlen(text));
    T_MEM(c->in.data, c->in.len, text, strlen(text));
    buf_reset(&c->in);
}

static void switch_protocols(struct t_client *c, const char *request, const char *after)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    t_client_open(c);
    t_client_send(c, request);
    T_CLIENT_UNTIL(c, c->in.len >= sizeof(head) - 1 + strlen(after));
    T_MEM(c->in.data, sizeof(head) - 1, head, sizeof(head) - 1);
    buf_consume(&c->in, sizeof(head) - 1);
    expect_bytes(c, after);
}

static void echoes(void)
{
    struct t_client c;
    t_http_start();
    switch_protocols(&c, UPGRADE, "");
    t_client_send(&c, "GET / HTTP/1.1\r\n\r\n");
    expect_bytes(&c, "GET / HTTP/1.1\r\n\r\n");
    T_EQ(shutdown(c.fd, SHUT_WR), 0);
    expect_bytes(&c, "bye");
    t_client_expect_eof(&c);
    T_EQ(t_seen.raw_ended, 1);
    T_EQ(t_seen.gone_done, 1);
    t_client_close(&c);
    T_UNTIL(&t_loop, http_server_connections(&t_server) == 0);
    t_http_stop();
}

/* Bytes that came together with the request are not lost. */
static void bytes_ahead(void)
{
    struct t_client c;
    t_http_start();
    switch_protocols(&c, UPGRADE "frame", "frame");
    t_client_close(&c);
    t_http_stop();
}

/* An upgrade the app does not want is an ordinary request. */
static void declined(void)
{
    struct t_client c;
    t_http_start();
    t_client_open(&c);
    t_client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                      "Upgrade: echo\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    t_client_expect(&c, 200, "hello");
    t_client_expect(&c, 200, "hello");
    t_client_close(&c);
    t_http_stop();
}

/* The client sends and does not read: neither side keeps more than its share. */
static void back_pressure(void)
{
    static char block[65536];
    struct t_client c;
    size_t sent = 0, got = 0;
    t_http_start();
    switch_protocols(&c, UPGRADE, "");
    for (int quiet = 0; quiet < 20;) {
        size_t n = t_client_try_send(&c, block, sizeof(block));
        sent += n;
        quiet = n == 0 ? quiet + 1 : 0;
        (void)uv_run(&t_loop, UV_RUN_NOWAIT);
    }
    struct http_conn *conn = t_seen.held->conn;
    T_TRUE(stream_unsent(&conn->stream) <= STREAM_HIGH_WATER + 2 * sizeof(block));
    T_TRUE(conn->ahead.len <= HTTP_MAX_PIPELINE);
    while (got < sent) {
        t_client_poll(&c);
        got += c.in.len;
        buf_reset(&c.in);
    }
    T_EQ(got, sent);
    t_client_close(&c);
    T_UNTIL(&t_loop, t_seen.gone_done + t_seen.gone_aborted == 1);
    t_http_stop();
}

static void aborts(void)
{
    struct t_client c;
    t_http_start();
    switch_protocols(&c, UPGRADE, "");
    t_client_reset(&c);
    T_UNTIL(&t_loop, t_seen.gone_aborted == 1);
    T_EQ(t_seen.raw_ended, 0);
    switch_protocols(&c, UPGRADE, "");
    http_reply_abort(t_seen.held);
    T_UNTIL(&t_loop, t_seen.gone_aborted == 2);
    t_client_close(&c);
    switch_protocols(&c, UPGRADE, "");
    t_http_stop();
    T_EQ(t_seen.gone_aborted, 3);
    t_client_close(&c);
}

T_MAIN(T_CASE(echoes), T_CASE(bytes_ahead), T_CASE(declined), T_CASE(back_pressure), T_CASE(aborts))
