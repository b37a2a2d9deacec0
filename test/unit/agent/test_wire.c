/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile connections: any input ends its own connection at most. */
#include <poll.h>
#include <sys/socket.h>

#include "client.h"
#include "t.h"

static struct agent_proc agent;

static void ping(void)
{
    struct buf b = {0};
    struct result r;
    wire_put_frame(&b, WIRE_PING, NULL, 0);
    run_request(&agent, &b, &r);
    T_TRUE(r.ok);
    result_done(&r);
}

static void starts(void)
{
    agent_start(&agent, "nobody", NULL);
    ping();
}

/* The answer to a first line, or "" when the agent closes without one. */
static void greet(const char *line, char *out, size_t cap)
{
    struct client c;
    client_raw(&c, &agent);
    T_TRUE(send(c.fd, line, strlen(line), MSG_NOSIGNAL) > 0);
    size_t n = 0;
    while (n + 1 < cap && recv(c.fd, out + n, 1, 0) == 1 && out[n++] != '\n')
        ;
    out[n] = '\0';
    client_close(&c);
}

static void wrong_greetings_are_closed(void)
{
    static const char *const wrong[] = {
        "CONNECT 1025\n",
        "CONNECT 01024\n",
        "connect 1024\n",
        "\n",
        "CONNECT 1024\r\n",
        "CONNECT 10240000000000000000000000000000000000000000000000\n",
        "GET / HTTP/1.1\r\n\r\n",
        "CONNECT -1\n",
        "CONNECT \n"};
    char answer[64];
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        greet(wrong[i], answer, sizeof(answer));
        T_STR(answer, "");
    }
    greet("CONNECT 1024\n", answer, sizeof(answer));
    T_EQ(strncmp(answer, "OK ", 3), 0);
}

static void a_greeting_may_arrive_in_pieces_with_the_request(void)
{
    struct client c;
    struct result r = {0};
    char line[32];
    static const char text[] = "CONNECT 1024\n\0\0\0\0\1\0\0\0";
    client_raw(&c, &agent);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        T_EQ(send(c.fd, text + i, 1, MSG_NOSIGNAL), 1);
        usleep(1000);
    }
    size_t n = 0;
    do
        T_EQ(recv(c.fd, line + n, 1, 0), 1);
    while (line[n++] != '\n');
    client_finish(&c, &r);
    T_TRUE(r.ok);
    result_done(&r);
    client_close(&c);
}

/* One request of each kind. WRITE and EXEC go where the test may write. */
static void sample(size_t kind, struct buf *b)
{
    static const uint16_t types[] = {WIRE_CONFIGURE, WIRE_CLOCK, WIRE_EXEC,   WIRE_READ,
                                     WIRE_WRITE,     WIRE_LIST,  WIRE_REMOVE, WIRE_MKDIR,
                                     WIRE_STAT_PATH, WIRE_PORT};
    const char *const argv[] = {"true", NULL};
    char path[160];
    snprintf(path, sizeof(path), "%s/sample", agent.work);
    if (types[kind] == WIRE_EXEC) {
        put_exec(b, &(struct exec_request){.argv = argv});
        return;
    }
    size_t start = wire_begin(b, (enum wire_type)types[kind]);
    if (types[kind] == WIRE_CONFIGURE) {
        buf_u64(b, 0);
        wire_put_str(b, "");
        wire_put_str(b, "");
        wire_put_list(b, NULL);
        buf_u32(b, 0);
    } else if (types[kind] == WIRE_CLOCK) {
        buf_u64(b, 1000000000);
    } else if (types[kind] == WIRE_PORT) {
        buf_u16(b, 1);
    } else {
        wire_put_str(b, path);
        for (int i = 0; i < 4 && types[kind] == WIRE_READ; i++)
            buf_u32(b, 0);
        for (int i = 0; i < 2 && (types[kind] == WIRE_WRITE || types[kind] == WIRE_MKDIR); i++)
            buf_u32(b, 0);
        if (types[kind] == WIRE_REMOVE)
            buf_u32(b, 0);
    }
    wire_end(b, start);
}

#define SAMPLES 10

/* Every request is cut at every byte, then the client closes. */
static void every_prefix_is_survived(void)
{
    for (size_t kind = 0; kind < SAMPLES; kind++) {
        struct buf whole = {0};
        sample(kind, &whole);
        for (size_t len = 1; len <= whole.len; len++) {
            struct client c;
            struct buf b = {0};
            buf_append(&b, whole.data, len);
            client_open(&c, &agent);
            client_send(&c, &b);
            client_close(&c);
        }
        buf_done(&whole);
    }
    ping();
}

/* A frame of a request's type whose payload is noise; the answer is an error or an end. */
static void random_payloads_are_survived(void)
{
    uint32_t x = 12345;
    for (int i = 0; i < 400; i++) {
        struct client c;
        struct buf b = {0};
        struct wire_frame f;
        uint8_t noise[64];
        for (size_t k = 0; k < sizeof(noise); k++) {
            x = x * 1664525 + 1013904223;
            noise[k] = (uint8_t)(x >> 24);
        }
        /* PORT takes any two bytes, so it gets three. */
        size_t len = noise[0] % sizeof(noise);
        wire_put_frame(&b, (enum wire_type)(i % 0x40), noise, len == 2 ? 3 : len);
        client_open(&c, &agent);
        client_send(&c, &b);
        while (client_next(&c, &f))
            T_TRUE(f.type == WIRE_ERROR || f.type == WIRE_PONG);
        client_close(&c);
    }
    ping();
}

static void bad_headers_are_refused(void)
{
    static const uint8_t headers[][8] = {
        {0xff, 0xff, 0xff, 0xff, 0x01, 0, 0, 0}, /* length */
        {0, 0, 0x20, 0x01, 0x10, 0, 0, 0},       /* more than WIRE_MAX_REQUEST */
        {0, 0, 0, 0, 0x01, 0, 1, 0},             /* reserved */
        {0, 0, 0, 0, 0x00, 0, 0, 0},             /* type */
        {0, 0, 0, 0, 0x01, 0x80, 0, 0},          /* type */
        {0, 0, 0, 0, 0x92, 0, 0, 0},             /* a later frame first */
    };
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        struct buf b = {0};
        struct result r;
        buf_append(&b, headers[i], sizeof(headers[i]));
        run_request(&agent, &b, &r);
        T_EQ(r.error, WIRE_E_PROTOCOL);
        result_done(&r);
    }
}

static void later_frames_are_checked(void)
{
    struct buf b = {0};
    struct result r;
    put_shell(&b, "sleep 300", 0);
    wire_put_frame(&b, WIRE_STDIN, "x", 1); /* without WIRE_EXEC_STDIN */
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_PROTOCOL);
    result_done(&r);
    put_shell(&b, "sleep 300", 0);
    wire_put_frame(&b, WIRE_SIGNAL, "\xff\0\0\0", 4);
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_PROTOCOL);
    result_done(&r);
}

/* More connections than the agent takes at once: the rest wait, and none is lost. */
static void too_many_connections_wait(void)
{
    enum { MANY = 600 };
    static struct client clients[MANY];
    for (int i = 0; i < MANY; i++)
        client_raw(&clients[i], &agent);
    struct pollfd p = {.fd = clients[MANY - 1].fd, .events = POLLIN};
    T_EQ(send(p.fd, "CONNECT 1024\n", 13, MSG_NOSIGNAL), 13);
    T_EQ(poll(&p, 1, 300), 0);
    for (int i = 0; i < MANY - 1; i++)
        client_close(&clients[i]);
    T_EQ(poll(&p, 1, 10000), 1);
    client_close(&clients[MANY - 1]);
    ping();
}

static void leaks_no_descriptor(void)
{
    agent_settle(&agent);
}

static void stops(void)
{
    agent_stop(&agent);
}

T_MAIN(T_CASE(starts), T_CASE(wrong_greetings_are_closed),
       T_CASE(a_greeting_may_arrive_in_pieces_with_the_request), T_CASE(every_prefix_is_survived),
       T_CASE(random_payloads_are_survived), T_CASE(bad_headers_are_refused),
       T_CASE(later_frames_are_checked), T_CASE(too_many_connections_wait),
       T_CASE(leaks_no_descriptor), T_CASE(stops))
