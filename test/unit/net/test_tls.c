/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls.c - streams under TLS: a real client of another configuration on the other end of a
 * socket, and peers that are none. */
#include "net/tls.h"

#include <sys/un.h>

#include "net/stream.h"
#include "t_fault.h"
#include "t_loop.h"
#include "test_tls.h"

#define BULK         (3u << 20)
#define CANCEL_TURNS 8

static uv_loop_t loop;
static struct tls_context *context;

/* The server's side. */
static struct server {
    struct stream stream;
    struct buf in;
    unsigned int opened, ended, drained, closed;
    int end_status;
    bool echo, close_in_data;
} server;

static void on_opened(struct stream *s, int status)
{
    T_EQ(status, 0);
    T_TRUE(!stream_is_shaking_hands(s));
    server.opened++;
}

static void on_data(struct stream *s, const uint8_t *data, size_t len)
{
    T_EQ(server.opened, 1);
    T_EQ(server.ended, 0);
    T_TRUE(len > 0);
    if (server.echo)
        (void)stream_write(s, data, len);
    else
        (void)buf_append(&server.in, data, len);
    if (server.close_in_data)
        stream_close(s);
    else if (!stream_writable(s))
        stream_read_stop(s);
}

static void on_ended(struct stream *s, int status)
{
    T_TRUE(!stream_is_closing(s));
    server.ended++;
    server.end_status = status;
}

static void on_drained(struct stream *s)
{
    server.drained++;
    stream_read_start(s);
}

static void on_closed(struct stream *s)
{
    (void)s;
    server.closed++;
}

static const struct stream_handler handler = {
    .opened = on_opened,
    .data = on_data,
    .ended = on_ended,
    .drained = on_drained,
    .closed = on_closed,
};

/* A server stream that shakes hands; the other end of its socket. */
static int server_open(void)
{
    int fd[2];
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    server = (struct server){0};
    T_EQ(stream_init_pipe(&server.stream, &loop, &handler), 0);
    T_EQ(stream_open(&server.stream, fd[0]), 0);
    T_TRUE(!stream_is_secure(&server.stream));
    return fd[1];
}

static int server_start(void)
{
    int fd = server_open();
    T_EQ(stream_start_tls(&server.stream, context), 0);
    T_TRUE(stream_is_secure(&server.stream));
    T_TRUE(stream_is_shaking_hands(&server.stream));
    T_EQ(stream_write(&server.stream, "x", 1), -ENOTCONN);
    stream_read_start(&server.stream);
    return fd;
}

static void server_finish(void)
{
    stream_close(&server.stream);
    T_UNTIL(&loop, server.closed > 0);
    T_EQ(server.closed, 1);
    buf_done(&server.in);
}

static bool shake(struct tt_client *c)
{
    int rv = mbedtls_ssl_handshake(&c->ssl);
    if (rv != 0 && !tt_again(rv))
        T_FAIL("the handshake failed: -0x%x", (unsigned int)-rv);
    return rv == 0;
}

static void connected(struct tt_client *c)
{
    tt_client_open(c, server_start());
    T_UNTIL(&loop, shake(c));
    T_UNTIL(&loop, server.opened > 0);
}

/* Sends what goes out now; true when all of it has. */
static bool client_send(struct tt_client *c, const uint8_t *data, size_t len, size_t *done)
{
    while (*done < len) {
        int rv = mbedtls_ssl_write(&c->ssl, data + *done, len - *done);
        if (tt_again(rv))
            return false;
        T_TRUE(rv > 0);
        *done += (size_t)rv;
    }
    return true;
}

/* Reads what is there; the last result. */
static int client_read(struct tt_client *c, struct buf *in)
{
    for (;;) {
        T_EQ(buf_reserve(in, 20000), 0);
        int rv = mbedtls_ssl_read(&c->ssl, in->data + in->len, 20000);
        if (rv <= 0)
            return rv;
        in->len += (size_t)rv;
    }
}

static void contexts(void)
{
    static const struct {
        const char *cert, *key, *words;
    } bad[] = {
        {"ec.crt", "rsa.key", "rsa.key is not the key of"},
        {"rsa.crt", "ec.key", "ec.key is not the key of"},
        {"rsa.crt", "none", "none: No such file"},
        {"none", "rsa.key", "none: No such file"},
        {".", "rsa.key", "Is a directory"},
        {"rsa.key", "rsa.key", "not a PEM certificate"},
        {"empty", "rsa.key", "not a PEM certificate"},
        {"text", "rsa.key", "not a PEM certificate"},
        {"cut", "rsa.key", "not a PEM certificate"},
        {"rsa.crt", "empty", "not a PEM private key"},
        {"rsa.crt", "rsa.crt", "not a PEM private key"},
        {"rsa.crt", "locked.key", "the key is encrypted"},
    };
    struct tls_context *c = NULL;
    struct error err;
    tt_make("ec", TT_EC);
    tt_make("rsa", TT_RSA);
    tt_make("locked", "rsa:2048 -passout pass:secret");
    tt_write("empty", "");
    tt_write("text", "hello\n");
    tt_write("cut", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        err = (struct error){0};
        T_EQ(tls_context_new(&c, tt_path(bad[i].cert), tt_path(bad[i].key), &err), -EINVAL);
        if (strstr(err.message, bad[i].words) == NULL)
            T_FAIL("'%s' does not say '%s'", err.message, bad[i].words);
    }
    T_TRUE(c == NULL);
    T_EQ(tls_context_new(&c, tt_path("rsa.crt"), tt_path("rsa.key"), &err), 0);
    tls_context_unref(c);
    tls_context_unref(NULL);
    T_EQ(tls_context_new(&context, tt_path("ec.crt"), tt_path("ec.key"), &err), 0);
}

static void shakes_hands(void)
{
    struct tt_client c;
    t_loop_open(&loop);
    connected(&c);
    T_STR(mbedtls_ssl_get_alpn_protocol(&c.ssl), "http/1.1");
#if MBEDTLS_VERSION_MAJOR >= 3
    T_STR(mbedtls_ssl_get_version(&c.ssl), "TLSv1.3");
#else
    T_STR(mbedtls_ssl_get_version(&c.ssl), "TLSv1.2");
    T_STR(mbedtls_ssl_get_ciphersuite(&c.ssl), "TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256");
#endif
    tt_client_close(&c);
    T_UNTIL(&loop, server.ended > 0);
    T_EQ(server.end_status, -ECONNRESET); /* no close_notify */
    server_finish();
    t_loop_close(&loop);
}

static void one_chunk(size_t chunk, const uint8_t *bytes, size_t len)
{
    struct tt_client c;
    struct buf in = {0};
    size_t sent = 0;
    tt_client_open(&c, server_start());
    c.chunk = chunk;
    server.echo = true;
    T_UNTIL(&loop, shake(&c));
    T_UNTIL(&loop, client_send(&c, bytes, len, &sent) || !tt_again(client_read(&c, &in)));
    T_UNTIL(&loop, !tt_again(client_read(&c, &in)) || in.len >= len);
    T_MEM(in.data, in.len, bytes, len);
    buf_done(&in);
    T_EQ(mbedtls_ssl_close_notify(&c.ssl), 0);
    T_UNTIL(&loop, server.ended > 0);
    T_EQ(server.end_status, 0);
    server_finish();
    tt_client_close(&c);
}

static uint8_t *pattern(size_t len)
{
    uint8_t *bytes = malloc(len);
    T_TRUE(bytes != NULL);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    return bytes;
}

/* However the network cuts the bytes, and however many records come at once. */
static void chunk_sizes(void)
{
    static const size_t chunks[] = {1, 2, 5, 100, 1459, 16384, 16385, 70000, SIZE_MAX};
    uint8_t *bytes = pattern(BULK);
    t_loop_open(&loop);
    for (size_t i = 0; i < ARRAY_SIZE(chunks); i++)
        one_chunk(chunks[i], bytes, chunks[i] < 10 ? 2000 : chunks[i] < 1000 ? 50000 : BULK);
    free(bytes);
    t_loop_close(&loop);
}

/* Head, body and owned buffer leave as one record; large ones as full records. */
static void writes(void)
{
    struct tt_client c;
    struct buf in = {0}, own = {0};
    uint8_t *bytes = pattern(BULK);
    uv_buf_t pieces[] = {{.base = (char *)"head ", .len = 5},
                         {.base = NULL, .len = 0},
                         {.base = (char *)"body ", .len = 5}};
    t_loop_open(&loop);
    connected(&c);
    T_EQ(buf_append_str(&own, "own"), 0);
    T_EQ(stream_writev(&server.stream, pieces, 3, &own), 0);
    T_TRUE(own.data == NULL);
    T_EQ(stream_writev(&server.stream, NULL, 0, NULL), 0);
    T_UNTIL(&loop, tt_again(client_read(&c, &in)) && in.len > 0);
    T_MEM(in.data, in.len, "head body own", 13); /* one read: one record */
    buf_reset(&in);

    T_EQ(buf_append(&own, bytes, BULK), 0);
    T_EQ(stream_write_buf(&server.stream, &own), 0);
    T_TRUE(!stream_writable(&server.stream));
    T_TRUE(stream_unsent(&server.stream) > BULK / 2);
    stream_shutdown(&server.stream);
    T_UNTIL(&loop, client_read(&c, &in) == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    T_MEM(in.data, in.len, bytes, BULK);
    T_TRUE(server.drained > 0);
    T_TRUE(server.stream.bytes_out > BULK && server.stream.bytes_out < BULK + BULK / 100);
    server_finish();
    tt_client_close(&c);
    buf_done(&in);
    free(bytes);
    t_loop_close(&loop);
}

/* A stream that is not read holds the client back, and loses nothing. */
static void back_pressure(void)
{
    struct tt_client c;
    uint8_t *bytes = pattern(BULK);
    size_t sent = 0;
    t_loop_open(&loop);
    connected(&c);
    stream_read_stop(&server.stream);
    for (int i = 0; i < 50; i++) {
        (void)client_send(&c, bytes, BULK, &sent);
        t_loop_turn(&loop);
    }
    T_TRUE(sent < BULK);
    T_EQ(server.in.len, 0);
    stream_read_start(&server.stream);
    T_UNTIL(&loop, client_send(&c, bytes, BULK, &sent));
    T_UNTIL(&loop, server.in.len >= BULK);
    T_MEM(server.in.data, server.in.len, bytes, BULK);
    server_finish();
    tt_client_close(&c);
    free(bytes);
    t_loop_close(&loop);
}

/* The client closes its direction and still gets its answer; then the server says goodbye. */
static void half_closed(void)
{
    struct tt_client c;
    struct buf in = {0};
    t_loop_open(&loop);
    connected(&c);
    T_EQ(mbedtls_ssl_close_notify(&c.ssl), 0);
    T_UNTIL(&loop, server.ended > 0);
    T_EQ(server.end_status, 0);
    T_EQ(stream_write(&server.stream, "late", 4), 0);
    stream_close(&server.stream);
    T_UNTIL(&loop, client_read(&c, &in) == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    T_MEM(in.data, in.len, "late", 4);
    server_finish();
    tt_client_close(&c);
    buf_done(&in);
    t_loop_close(&loop);
}

/* Peers that do not speak TLS: what they send, and what they must get. */
static void strangers(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *answer;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, "use TLS", -EPROTO},
        {"\x16\x03\x01\x00\x05hello", 10, NULL, 0}, /* some versions wait for the rest of it */
        {"\x16\x03\x01\xff\xff", 5, NULL, 0},
        {"\x80\x2e\x01\x03\x01", 5, NULL, -EPROTO}, /* SSL 2 */
        {"\x00", 1, NULL, -EPROTO},
        {"\x16\x03", 2, NULL, -ECONNRESET}, /* and goes away */
        {"", 0, NULL, -ECONNRESET},
    };
    struct buf answer = {0};
    char got[256];
    T_EQ(buf_append_str(&answer, "use TLS"), 0);
    tls_context_set_plain_answer(context, &answer);
    T_TRUE(answer.data == NULL);
    t_loop_open(&loop);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int fd = server_start();
        T_EQ(send(fd, cases[i].bytes, cases[i].len, MSG_NOSIGNAL), cases[i].len);
        if (cases[i].status != -EPROTO)
            T_EQ(shutdown(fd, SHUT_WR), 0);
        T_UNTIL(&loop, server.ended > 0);
        if (cases[i].status != 0)
            T_EQ(server.end_status, cases[i].status);
        T_TRUE(server.end_status < 0);
        T_EQ(server.opened, 0);
        ssize_t n = recv(fd, got, sizeof(got), 0);
        if (cases[i].answer != NULL)
            T_MEM(got, (size_t)n, cases[i].answer, strlen(cases[i].answer));
        else if (n > 0)
            T_EQ(got[0], 21); /* an alert */
        server_finish();
        (void)close(fd);
    }
    t_loop_close(&loop);
}

/* A record that was changed on its way ends the stream; what came before it counts. */
static void forged_record(void)
{
    struct tt_client c;
    size_t sent = 0;
    t_loop_open(&loop);
    connected(&c);
    T_TRUE(client_send(&c, (const uint8_t *)"good", 4, &sent));
    T_EQ(send(c.fd, "\x17\x03\x03\x00\x20 this was never authenticated!!!!", 37, MSG_NOSIGNAL), 37);
    T_UNTIL(&loop, server.ended > 0);
    T_EQ(server.end_status, -EPROTO);
    T_MEM(server.in.data, server.in.len, "good", 4);
    server_finish();
    tt_client_close(&c);
    t_loop_close(&loop);
}

/* A renewed certificate: open sessions keep the old one alive. */
static void context_changes(void)
{
    struct tt_client c;
    struct buf in = {0};
    struct error err;
    struct tls_context *old = context;
    t_loop_open(&loop);
    connected(&c);
    T_EQ(tls_context_new(&context, tt_path("rsa.crt"), tt_path("rsa.key"), &err), 0);
    tls_context_unref(old);
    T_EQ(stream_write(&server.stream, "still", 5), 0);
    T_UNTIL(&loop, tt_again(client_read(&c, &in)) && in.len == 5);
    server_finish();
    tt_client_close(&c);
    buf_done(&in);
    connected(&c);
    server_finish();
    tt_client_close(&c);
    t_loop_close(&loop);
}

/* Closing after any number of turns, and inside `data`. */
static void cancel_anywhere(void)
{
    t_loop_open(&loop);
    for (int turns = 0; turns < CANCEL_TURNS; turns++) {
        struct tt_client c;
        size_t sent = 0;
        bool shaken = false;
        tt_client_open(&c, server_start());
        server.echo = true;
        for (int i = 0; i < turns; i++) {
            shaken = shaken || shake(&c);
            if (shaken)
                (void)client_send(&c, (const uint8_t *)"hello", 5, &sent);
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        }
        server_finish();
        T_EQ(stream_start_tls(&server.stream, context), -ECANCELED);
        tt_client_close(&c);
    }
    struct tt_client c;
    size_t sent = 0;
    connected(&c);
    server.close_in_data = true;
    T_TRUE(client_send(&c, (const uint8_t *)"hello", 5, &sent));
    T_UNTIL(&loop, server.closed > 0);
    T_EQ(server.ended, 0);
    buf_done(&server.in);
    tt_client_close(&c);
    t_loop_close(&loop);
}

/* One exchange; true when the client got its bytes back. */
static bool exchange(struct tt_client *c)
{
    char got[8] = "";
    size_t sent = 0;
    bool shaken = false;
    while (server.ended == 0 && got[0] == '\0') {
        int rv = shaken ? 0 : mbedtls_ssl_handshake(&c->ssl);
        shaken = rv == 0;
        if (shaken && client_send(c, (const uint8_t *)"hello", 5, &sent))
            rv = mbedtls_ssl_read(&c->ssl, (unsigned char *)got, sizeof(got));
        if (rv < 0 && !tt_again(rv))
            break;
        t_loop_turn(&loop);
    }
    return memcmp(got, "hello", 5) == 0;
}

static void every_allocation(void)
{
    int n = 1;
    bool hit = true;
    t_loop_open(&loop);
    for (; hit; n++) {
        struct tt_client c;
        struct error err;
        int fd = server_open();
        struct tls_context *own = NULL;
        tt_client_open(&c, fd);
        server.echo = true;
        t_fault_arm(n);
        int rv = tls_context_new(&own, tt_path("ec.crt"), tt_path("ec.key"), &err);
        if (rv == 0)
            rv = stream_start_tls(&server.stream, own);
        tls_context_unref(own);
        stream_read_start(&server.stream);
        bool done = rv == 0 && exchange(&c);
        hit = t_fault_disarm();
        T_TRUE(hit || done);
        server_finish();
        tt_client_close(&c);
    }
    T_TRUE(n > 5);
    t_loop_close(&loop);
}

T_MAIN(T_CASE(contexts), T_CASE(shakes_hands), T_CASE(chunk_sizes), T_CASE(writes),
       T_CASE(back_pressure), T_CASE(half_closed), T_CASE(strangers), T_CASE(forged_record),
       T_CASE(context_changes), T_CASE(cancel_anywhere), T_CASE(every_allocation))
