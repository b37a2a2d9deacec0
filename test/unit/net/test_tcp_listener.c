/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp_listener.c - addresses, binding, pausing, and running out of file descriptors. */
#include "net/tcp_listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "t_loop.h"

static struct {
    uv_loop_t loop;
    struct tcp_listener listener;
    unsigned int accepted;
    int fds[64];
    bool closed;
} seen;

static void on_accepted(struct tcp_listener *l, int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);
    T_TRUE(l == &seen.listener);
    T_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    T_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
    T_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    T_TRUE(on);
    T_TRUE(seen.accepted < ARRAY_SIZE(seen.fds));
    seen.fds[seen.accepted++] = fd;
}

static void on_closed(struct tcp_listener *l)
{
    (void)l;
    seen.closed = true;
}

static const struct tcp_listener_handler handler = {.accepted = on_accepted, .closed = on_closed};

static void open_listener(const char *address)
{
    struct error err = {0};
    memset(&seen, 0, sizeof(seen));
    t_loop_open(&seen.loop);
    if (tcp_listener_init(&seen.listener, &seen.loop, address, &handler, &err) < 0)
        T_FAIL("%s", err.message);
}

static void close_listener(void)
{
    for (unsigned int i = 0; i < seen.accepted; i++)
        close(seen.fds[i]);
    tcp_listener_close(&seen.listener);
    tcp_listener_close(&seen.listener);
    T_UNTIL(&seen.loop, seen.closed);
    t_loop_close(&seen.loop);
}

static int client(void)
{
    struct sockaddr_storage addr;
    T_EQ(tcp_listener_parse(tcp_listener_address(&seen.listener), &addr, NULL), 0);
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_TRUE(fd >= 0);
    T_EQ(connect(fd, (struct sockaddr *)&addr,
                 addr.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                           : sizeof(struct sockaddr_in6)),
         0);
    return fd;
}

static void addresses(void)
{
    static const struct {
        const char *text;
        int family, port;
        bool loopback;
    } good[] = {
        {"127.0.0.1:8000", AF_INET, 8000, true},      {"127.9.9.9:1", AF_INET, 1, true},
        {"0.0.0.0:65535", AF_INET, 65535, false},     {"192.0.2.1:0", AF_INET, 0, false},
        {"[::1]:8000", AF_INET6, 8000, true},         {"[::]:8000", AF_INET6, 8000, false},
        {"[::ffff:127.0.0.1]:1", AF_INET6, 1, true},  {"[2001:db8::1]:80", AF_INET6, 80, false},
        {"[::ffff:192.0.2.1]:1", AF_INET6, 1, false},
    };
    static const char *const bad[] = {
        "",
        ":",
        "8000",
        "127.0.0.1",
        "127.0.0.1:",
        ":8000",
        "127.0.0.1:x",
        "127.0.0.1:-1",
        "127.0.0.1:65536",
        "127.0.0.1:1 ",
        "::1:8000",
        "[::1]",
        "[::1:8000",
        "::1]:8000",
        "[127.0.0.1]:1",
        "[]:1",
        "localhost:1",
        "127.0.0.1.1:80",
        "[::1]x:80",
        "[::1%lo]:80",
        "1111111111111111111111111111111111111111111111111111111111:1",
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct sockaddr_storage addr;
        struct error err = {0};
        if (tcp_listener_parse(good[i].text, &addr, &err) < 0)
            T_FAIL("%s", err.message);
        T_EQ(addr.ss_family, good[i].family);
        T_EQ(ntohs(good[i].family == AF_INET ? ((struct sockaddr_in *)&addr)->sin_port
                                             : ((struct sockaddr_in6 *)&addr)->sin6_port),
             good[i].port);
        T_EQ(tcp_listener_is_loopback(&addr), good[i].loopback);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct sockaddr_storage addr;
        struct error err = {0};
        if (tcp_listener_parse(bad[i], &addr, &err) == 0)
            T_FAIL("'%s' was taken for an address", bad[i]);
        T_EQ(err.code, ERROR_INVALID_ARGUMENT);
        T_TRUE(err.message[0] != '\0');
    }
}

static void accepts(void)
{
    static const char *const all[] = {"127.0.0.1:0", "[::1]:0"};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (i == 1 && access("/proc/net/if_inet6", R_OK) != 0)
            continue;
        open_listener(all[i]);
        tcp_listener_start(&seen.listener);
        int fd = client();
        T_UNTIL(&seen.loop, seen.accepted == 1);
        close(fd);
        close_listener();
    }
}

static void port_in_use(void)
{
    struct tcp_listener other;
    struct error err = {0};
    open_listener("127.0.0.1:0");
    const char *address = tcp_listener_address(&seen.listener);
    T_EQ(tcp_listener_init(&other, &seen.loop, address, &handler, &err), -EADDRINUSE);
    T_TRUE(strstr(err.message, address) != NULL);
    T_TRUE(strstr(err.message, "another program") != NULL);
    T_EQ(tcp_listener_init(&other, &seen.loop, "192.0.2.1:1", &handler, &err), -EADDRNOTAVAIL);
    T_TRUE(strstr(err.message, "192.0.2.1:1") != NULL);
    close_listener();
}

/* The port is free again at once, although connections to it were just closed. */
static void binds_again(void)
{
    char address[TCP_LISTENER_ADDRESS_SIZE];
    open_listener("127.0.0.1:0");
    tcp_listener_start(&seen.listener);
    snprintf(address, sizeof(address), "%s", tcp_listener_address(&seen.listener));
    int fd = client();
    T_UNTIL(&seen.loop, seen.accepted == 1);
    close_listener(); /* the server's side closes first: TIME_WAIT */
    close(fd);
    open_listener(address);
    close_listener();
}

static void pauses(void)
{
    open_listener("127.0.0.1:0");
    int a = client(); /* the backlog takes it */
    t_loop_run_ms(&seen.loop, 5);
    T_EQ(seen.accepted, 0);
    tcp_listener_start(&seen.listener);
    T_UNTIL(&seen.loop, seen.accepted == 1);
    tcp_listener_pause(&seen.listener);
    int b = client();
    t_loop_run_ms(&seen.loop, 5);
    T_EQ(seen.accepted, 1);
    T_TRUE(!uv_loop_alive(&seen.loop)); /* nothing polls, no timer runs */
    tcp_listener_start(&seen.listener);
    T_UNTIL(&seen.loop, seen.accepted == 2);
    close(a);
    close(b);
    close_listener();
}

/* With no descriptor left: no spinning, no connection lost, and it goes on when there is one. */
static void out_of_descriptors(void)
{
    struct rlimit old, low;
    int fds[256];
    unsigned int n = 0;
    open_listener("127.0.0.1:0");
    tcp_listener_start(&seen.listener);
    (void)uv_run(&seen.loop, UV_RUN_NOWAIT);
    int a = client(), b = client();
    T_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){.rlim_cur = 100, .rlim_max = old.rlim_max};
    T_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while ((fds[n] = dup(0)) >= 0)
        n++;
    T_TRUE(n > 0);
    clock_t cpu = clock();
    uint64_t start = uv_hrtime();
    while (uv_hrtime() - start < (TCP_LISTENER_RETRY_MS + 100) * 1000000ull)
        (void)uv_run(&seen.loop, UV_RUN_ONCE);
    T_EQ(seen.accepted, 0);
    T_TRUE((clock() - cpu) * 1000 / CLOCKS_PER_SEC < 50);
    close(fds[--n]);
    tcp_listener_start(&seen.listener); /* as the server does when a connection closes */
    (void)uv_run(&seen.loop, UV_RUN_NOWAIT);
    T_EQ(seen.accepted, 1);
    close(fds[--n]);
    T_UNTIL(&seen.loop, seen.accepted == 2); /* by itself */
    while (n > 0)
        close(fds[--n]);
    T_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    close(a);
    close(b);
    close_listener();
}

T_MAIN(T_CASE(addresses), T_CASE(accepts), T_CASE(port_in_use), T_CASE(binds_again), T_CASE(pauses),
       T_CASE(out_of_descriptors))
