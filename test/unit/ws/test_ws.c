/* SPDX-License-Identifier: Apache-2.0 */
/* test_ws.c - two ends that talk to each other, and a server that is sent what it must refuse. */
#include "ws/ws.h"

#include <errno.h>

#include "base/buf.h"
#include "t.h"

struct end {
    struct ws *ws;
    struct buf out;      /* for the other end */
    struct buf messages; /* 't' or 'b' and the bytes of each */
    unsigned int n_messages;
};

static struct end server, client;

static void on_message(void *ctx, bool is_text, const uint8_t *data, size_t len)
{
    struct end *e = ctx;
    e->n_messages++;
    (void)buf_append(&e->messages, is_text ? "t" : "b", 1);
    (void)buf_append(&e->messages, data, len);
}

static void on_send(void *ctx, const uint8_t *data, size_t len)
{
    (void)buf_append(&((struct end *)ctx)->out, data, len);
}

static void mask(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    memset(out, 0x5a, len);
}

static const struct ws_handler handler = {.message = on_message, .send = on_send, .random = mask};

static void open_both(void)
{
    server.ws = ws_new(false, &handler, &server);
    client.ws = ws_new(true, &handler, &client);
}

static void over(void)
{
    struct end *ends[] = {&server, &client};
    for (size_t i = 0; i < 2; i++) {
        ws_free(ends[i]->ws);
        buf_done(&ends[i]->out);
        buf_done(&ends[i]->messages);
        *ends[i] = (struct end){0};
    }
}

/* Hands over what `from` has said, in pieces of `step` bytes. */
static int deliver(struct end *from, struct end *to, size_t step)
{
    int rv = 0;
    for (size_t at = 0; at < from->out.len && rv == 0; at += step)
        rv = ws_feed(to->ws, from->out.data + at, MIN(step, from->out.len - at));
    buf_reset(&from->out);
    return rv;
}

static void expect(struct end *e, const char *want)
{
    T_MEM(e->messages.data, e->messages.len, want, strlen(want));
    buf_reset(&e->messages);
}

static void the_key_of_the_rfc(void)
{
    char out[WS_ACCEPT_SIZE];
    ws_accept("dGhlIHNhbXBsZSBub25jZQ==", out);
    T_STR(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void messages_both_ways(void)
{
    for (size_t step = 1; step < 40; step += 7) {
        open_both();
        T_EQ(ws_send(client.ws, false, "ls\r", 3), 0);
        T_EQ(ws_send(client.ws, true, "{}", 2), 0);
        T_EQ(deliver(&client, &server, step), 0);
        expect(&server, "bls\rt{}");
        T_EQ(ws_send(server.ws, false, "", 0), 0);
        T_EQ(ws_send(server.ws, true, "\xc3\xbc", 2), 0);
        T_EQ(deliver(&server, &client, step), 0);
        expect(&client, "bt\xc3\xbc");
        over();
    }
}

static void large_messages(void)
{
    static uint8_t block[WS_MAX_MESSAGE + 1];
    open_both();
    T_EQ(ws_send(client.ws, false, block, WS_MAX_MESSAGE), 0);
    T_EQ(deliver(&client, &server, 1000), 0);
    T_EQ(server.n_messages, 1);
    T_EQ(ws_send(client.ws, false, block, sizeof(block)), 0);
    T_EQ(deliver(&client, &server, 1000), -EPIPE);
    T_EQ(server.n_messages, 1);
    (void)deliver(&server, &client, 1000);
    T_EQ(ws_closed_with(client.ws), 1009);
    over();
}

static void pings_are_answered(void)
{
    open_both();
    T_EQ(ws_ping(server.ws), 0);
    T_EQ(deliver(&server, &client, 1), 0);
    T_TRUE(client.out.len > 0);
    T_EQ(deliver(&client, &server, 1), 0);
    T_EQ(server.n_messages + client.n_messages, 0);
    over();
}

static void closing(void)
{
    open_both();
    ws_close(server.ws, WS_CLOSE_FAILED, "why");
    T_TRUE(ws_send(server.ws, false, "x", 1) < 0);
    T_EQ(deliver(&server, &client, 1), -EPIPE);
    T_EQ(ws_closed_with(client.ws), WS_CLOSE_FAILED);
    T_EQ(deliver(&client, &server, 1), -EPIPE);
    over();
}

static void what_a_server_refuses(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint16_t code; /* 0: a close without one */
    } cases[] = {
        {"\x82\x01x", 3, 1002},                /* not masked */
        {"\xc2\x80\0\0\0\0", 6, 1002},         /* a reserved bit */
        {"\x83\x80\0\0\0\0", 6, 1002},         /* no such opcode */
        {"\x80\x80\0\0\0\0", 6, 1002},         /* a continuation of nothing */
        {"\x09\x80\0\0\0\0", 6, 0},            /* a ping in parts */
        {"\x89\xfe\0\x7e\0\0\0\0", 8, 0},      /* a ping that is too long */
        {"\x81\x81\0\0\0\0\xff", 7, 1007},     /* text that is none */
        {"\x82\xfe\0\x01\0\0\0\0", 8, 0},      /* a length in too many bytes */
        {"\x88\x82\0\0\0\0\x03\xed", 8, 1002}, /* a code that is never sent */
        {"\x82\xff\0\0\0\1\0\0\0\0\0\0\0\0x", 15, 1009},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        open_both();
        int rv = ws_feed(server.ws, (const uint8_t *)cases[i].bytes, cases[i].len);
        if (rv != -EPIPE)
            T_FAIL("case %zu is taken", i);
        (void)deliver(&server, &client, 100);
        if (ws_closed_with(client.ws) != cases[i].code)
            T_FAIL("case %zu closes with %u", i, ws_closed_with(client.ws));
        over();
    }
}

T_MAIN(T_CASE(the_key_of_the_rfc), T_CASE(messages_both_ways), T_CASE(large_messages),
       T_CASE(pings_are_answered), T_CASE(closing), T_CASE(what_a_server_refuses))
