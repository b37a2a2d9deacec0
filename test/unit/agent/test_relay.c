/* SPDX-License-Identifier: Apache-2.0 */
/* PORT against a real TCP server, and code requests against a real bridge process: this program
 * itself, started by the agent with the word "bridge". */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "client.h"
#include "t.h"

#define BRIDGE_DIES WIRE_CONTEXT_DELETE
#define LEAVES      "A=close the connection"
#define BIG         (3u << 20)

static struct agent_proc agent;

static bool recv_all(int fd, void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = recv(fd, (char *)data + done, len - done, 0);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void send_all(int fd, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        done += (size_t)n;
    }
}

static bool bridge_take_env(int fd, struct buf *env, const uint8_t *payload, uint32_t len)
{
    struct buf ok = {0};
    /* The variables of its start have no seed and do not count. */
    if (memmem(payload, len, LEAVES, strlen(LEAVES)) != NULL && payload[len - 1] != 0)
        return false;
    buf_reset(env);
    buf_append(env, payload, len);
    wire_put_frame(&ok, WIRE_OK, NULL, 0);
    send_all(fd, ok.data, ok.len);
    buf_done(&ok);
    return true;
}

/* Keeps the last CODE_ENV payload and echoes it, or a request's payload, as CODE_RESULT. */
static void bridge_serve(int fd, struct buf *env)
{
    uint8_t header[WIRE_HEADER_SIZE];
    static uint8_t payload[BIG];
    struct buf out = {0};
    uint32_t len;
    uint16_t type;
    do {
        if (!recv_all(fd, header, sizeof(header)))
            return;
        struct cursor c = cursor_on(header, sizeof(header));
        len = cursor_u32(&c);
        type = cursor_u16(&c);
        if (type == BRIDGE_DIES || len > sizeof(payload))
            _exit(1);
        if (!recv_all(fd, payload, len))
            return;
    } while (type == WIRE_CODE_ENV && bridge_take_env(fd, env, payload, len));
    if (type == WIRE_CODE_ENV)
        return;
    if (type == WIRE_CODE_READY) {
        wire_put_frame(&out, WIRE_CODE_RESULT, env->data, env->len);
    } else if (type == WIRE_CODE_RUN && len == 0) {
        char c1; /* runs until the client goes: the end of the connection must arrive here */
        (void)!recv(fd, &c1, 1, 0);
        buf_append_str(env, "cancelled");
    } else {
        wire_put_frame(&out, WIRE_CODE_RESULT, payload, len);
    }
    send_all(fd, out.data, out.len);
    buf_done(&out);
}

__attribute__((constructor)) static void bridge_main(int argc, char **argv)
{
    struct buf env = {0};
    if (argc < 2 || strcmp(argv[1], "bridge") != 0)
        return;
    for (;;) {
        int fd = accept(3, NULL, NULL);
        if (fd < 0)
            _exit(2);
        bridge_serve(fd, &env);
        close(fd);
    }
}

static void starts(void)
{
    const char *const bridge[] = {"/proc/self/exe", "bridge", NULL};
    char self[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    T_TRUE(n > 0);
    self[n] = '\0';
    const char *const command[] = {self, bridge[1], NULL};
    agent_start(&agent, "no-such-user", command);
}

/* The payload of the answer, and the code of the ERROR if that is the answer. */
static uint32_t ask(uint16_t type, const void *payload, size_t len, struct buf *answer)
{
    struct buf b = {0};
    struct client c;
    struct wire_frame f;
    uint32_t error = 0;
    wire_put_frame(&b, (enum wire_type)type, payload, len);
    client_open(&c, &agent);
    client_send(&c, &b);
    buf_reset(answer);
    while (client_next(&c, &f)) {
        struct cursor cur = cursor_on(f.payload, f.len);
        if (f.type == WIRE_ERROR)
            error = cursor_u32(&cur);
        else
            buf_append(answer, f.payload, f.len);
    }
    client_close(&c);
    return error;
}

static void configure(const char *value, const char *entropy)
{
    struct buf b = {0};
    struct result r;
    const char *const env[] = {value, NULL};
    size_t start = wire_begin(&b, WIRE_CONFIGURE);
    buf_u64(&b, 0);
    wire_put_str(&b, entropy);
    wire_put_str(&b, "");
    wire_put_list(&b, env);
    buf_u32(&b, 0);
    wire_end(&b, start);
    run_request(&agent, &b, &r);
    T_TRUE(r.ok);
    result_done(&r);
}

/* The variable and the length of the seed of the last CODE_ENV the bridge has seen. */
static void expect_env(const char *value, size_t seed_len)
{
    struct buf answer = {0};
    /* The agent may not have noticed yet that the bridge died. */
    for (int i = 0; i < 100 && ask(WIRE_CODE_READY, NULL, 0, &answer) == WIRE_E_UNAVAILABLE; i++)
        usleep(10000);
    struct cursor c = cursor_on(answer.data, answer.len);
    char **env = wire_get_list(&c);
    struct span seed = wire_get_span(&c);
    T_TRUE(cursor_end(&c));
    T_STR(env[0], value);
    T_EQ(seed.len, seed_len);
    free(env);
    buf_done(&answer);
}

static unsigned int children(void)
{
    char path[64], text[256] = "";
    unsigned int n = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)agent.pid, (int)agent.pid);
    FILE *f = fopen(path, "r");
    T_TRUE(f != NULL);
    if (fgets(text, sizeof(text), f) != NULL) {
        for (const char *p = text; *p != '\0'; p++)
            n += *p == ' ';
    }
    fclose(f);
    return n;
}

/* The bridge starts with the variables that were configured before the first code ran. */
static void the_bridge_starts_with_the_first_request(void)
{
    configure("A=0", "");
    T_EQ(children(), 0);
    expect_env("A=0", 0);
    T_EQ(children(), 1);
    agent.idle_fds = agent_fds(&agent);
    for (int same = 0; same < 20; same++) {
        usleep(10000);
        if (agent_fds(&agent) != agent.idle_fds)
            same = 0;
        agent.idle_fds = agent_fds(&agent);
    }
}

static void the_bridge_is_configured(void)
{
    configure("A=1", "");
    expect_env("A=1", 0);
    configure("A=2", "bytes");
    expect_env("A=2", 64);
}

static void large_requests_pass_through(void)
{
    struct buf answer = {0};
    uint8_t *data = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    ask(WIRE_CONTEXT_CREATE, data, BIG, &answer);
    T_MEM(answer.data, answer.len, data, (size_t)BIG);
    free(data);
    buf_done(&answer);
}

static void a_lost_client_reaches_the_bridge(void)
{
    struct buf b = {0}, answer = {0};
    struct client c;
    wire_put_frame(&b, WIRE_CODE_RUN, NULL, 0);
    client_open(&c, &agent);
    client_send(&c, &b);
    usleep(100000);
    client_close(&c);
    ask(WIRE_CODE_READY, NULL, 0, &answer);
    T_TRUE(memmem(answer.data, answer.len, "cancelled", 9) != NULL);
    buf_done(&answer);
}

static void a_dead_bridge_comes_back_configured(void)
{
    struct buf answer = {0};
    T_EQ(ask(BRIDGE_DIES, NULL, 0, &answer), WIRE_E_UNAVAILABLE);
    expect_env("A=2", 0);
    buf_done(&answer);
}

/* Whether it hangs, ends or answers nonsense: the next bridge has the variables. */
static void a_bridge_that_does_not_answer_is_replaced(void)
{
    configure("A=2", "bytes");
    unsigned int before = children();
    configure(LEAVES, "bytes");
    expect_env(LEAVES, 0);
    T_EQ(children(), before);
    configure("A=2", "");
    expect_env("A=2", 0);
}

static void frames_that_are_too_long_end_the_connection(void)
{
    static const uint8_t header[] = {0xff, 0xff, 0xff, 0x7f, WIRE_CODE_RUN, 0, 0, 0};
    struct buf b = {0};
    struct result r;
    buf_append(&b, header, sizeof(header));
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_PROTOCOL);
    result_done(&r);
}

struct tcp_server {
    int fd;
    int family;
    uint16_t port;
    pthread_t thread;
};

/* Echoes until the end, then says "bye". */
static void *tcp_serve(void *arg)
{
    static char chunk[65536];
    const struct tcp_server *s = arg;
    int fd = accept(s->fd, NULL, NULL);
    for (ssize_t n; (n = recv(fd, chunk, sizeof(chunk), 0)) > 0;)
        send_all(fd, chunk, (size_t)n);
    send_all(fd, "bye", 3);
    close(fd);
    return NULL;
}

static void tcp_start(struct tcp_server *s, int family)
{
    struct sockaddr_in6 addr = {0};
    socklen_t len = sizeof(addr);
    s->family = family;
    s->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_TRUE(s->fd >= 0);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    T_EQ(family == AF_INET ? bind(s->fd, (struct sockaddr *)&v4, sizeof(v4))
                           : bind(s->fd, (struct sockaddr *)&v6, sizeof(v6)),
         0);
    T_EQ(listen(s->fd, 1), 0);
    T_EQ(getsockname(s->fd, (struct sockaddr *)&addr, &len), 0);
    s->port = ntohs(addr.sin6_port); /* at the same place for both families */
    T_EQ(pthread_create(&s->thread, NULL, tcp_serve, s), 0);
}

static void tcp_stop(struct tcp_server *s)
{
    T_EQ(pthread_join(s->thread, NULL), 0);
    close(s->fd);
}

static void put_port(struct buf *b, uint16_t port)
{
    size_t start = wire_begin(b, WIRE_PORT);
    buf_u16(b, port);
    wire_end(b, start);
}

struct sender {
    int fd;
    const uint8_t *data;
    size_t len;
};

static void *send_and_shut(void *arg)
{
    const struct sender *s = arg;
    send_all(s->fd, s->data, s->len);
    (void)shutdown(s->fd, SHUT_WR);
    return NULL;
}

static void echo_through_port(int family, size_t len)
{
    struct tcp_server server;
    struct client c;
    struct buf b = {0};
    struct wire_frame f;
    pthread_t thread;
    uint8_t *data = malloc(len + 3), *got = malloc(len + 3);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 7);
    memcpy(data + len, "bye", 3);
    tcp_start(&server, family);
    put_port(&b, server.port);
    client_open(&c, &agent);
    client_send(&c, &b);
    T_EQ(client_next(&c, &f), 1);
    T_EQ(f.type, WIRE_OK);
    struct sender sender = {.fd = c.fd, .data = data, .len = len};
    T_EQ(pthread_create(&thread, NULL, send_and_shut, &sender), 0);
    T_TRUE(recv_all(c.fd, got, len + 3));
    T_EQ(memcmp(data, got, len + 3), 0);
    T_EQ(recv(c.fd, got, 1, 0), 0);
    T_EQ(pthread_join(thread, NULL), 0);
    client_close(&c);
    tcp_stop(&server);
    free(data);
    free(got);
}

static void port_carries_bytes_both_ways(void)
{
    echo_through_port(AF_INET, 10000000);
    echo_through_port(AF_INET, 0);
}

static void port_falls_back_to_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&v6, sizeof(v6)) == 0;
    if (fd >= 0)
        close(fd);
    if (has_ipv6)
        echo_through_port(AF_INET6, 1000);
}

static void a_closed_port_is_unavailable(void)
{
    struct tcp_server server;
    struct buf b = {0};
    struct result r;
    echo_through_port(AF_INET, 1);
    tcp_start(&server, AF_INET);
    uint16_t port = server.port;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    T_EQ(connect(fd, (struct sockaddr *)&v4, sizeof(v4)), 0);
    close(fd);
    tcp_stop(&server);
    put_port(&b, port);
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_UNAVAILABLE);
    result_done(&r);
}

/* Bytes that are sent just before the client closes still arrive. A client that closes at any time
 * leaks nothing. */
static void leaks_no_descriptor(void)
{
    struct buf answer = {0};
    for (int i = 0; i < 100; i++) {
        struct buf b = {0};
        struct client c;
        ask(WIRE_CONTEXT_GET, "x", 1, &answer);
        wire_put_frame(&b, WIRE_CONTEXT_GET, "xyz", 3);
        b.len -= (size_t)i % 4;
        client_open(&c, &agent);
        client_send(&c, &b);
        client_close(&c);
    }
    buf_done(&answer);
    agent_settle(&agent);
}

static void stops(void)
{
    agent_stop(&agent);
}

static void without_a_bridge_code_is_unavailable(void)
{
    struct buf b = {0};
    struct result r;
    agent_start(&agent, "no-such-user", NULL);
    wire_put_frame(&b, WIRE_CODE_READY, NULL, 0);
    run_request(&agent, &b, &r);
    T_EQ(r.error, WIRE_E_UNAVAILABLE);
    result_done(&r);
    agent_stop(&agent);
}

T_MAIN(T_CASE(starts), T_CASE(the_bridge_starts_with_the_first_request),
       T_CASE(the_bridge_is_configured), T_CASE(large_requests_pass_through),
       T_CASE(a_lost_client_reaches_the_bridge), T_CASE(a_dead_bridge_comes_back_configured),
       T_CASE(a_bridge_that_does_not_answer_is_replaced),
       T_CASE(frames_that_are_too_long_end_the_connection), T_CASE(port_carries_bytes_both_ways),
       T_CASE(port_falls_back_to_ipv6), T_CASE(a_closed_port_is_unavailable),
       T_CASE(leaks_no_descriptor), T_CASE(stops), T_CASE(without_a_bridge_code_is_unavailable))
