/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.c - both ends of the connections that bench/egress_vm measures; static, so that it is the
 * same program on a host, in a sandbox and in a guest that has nothing else.
 *
 *   flow serve ADDRESS PORT             until it is killed
 *   flow up|down ADDRESS PORT MIB       one connection that carries so much
 *   flow many ADDRESS PORT COUNT        connections that are all open at once, a byte each way
 *   flow each ADDRESS PORT COUNT        the same, one after another
 *
 * A client prints the milliseconds that it took, from the first connect. The first byte of a
 * connection says what it is for.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOW_PIECE (1u << 18)
#define FLOW_MOST  4096

static char piece[FLOW_PIECE];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void put(int fd, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, (const char *)data + done, len - done);
        if (n <= 0)
            die("write");
        done += (size_t)n;
    }
}

static void get(int fd, void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)data + done, len - done);
        if (n <= 0)
            die("read");
        done += (size_t)n;
    }
}

static uint64_t drain(int fd)
{
    uint64_t total = 0;
    ssize_t n;
    while ((n = read(fd, piece, sizeof(piece))) > 0)
        total += (uint64_t)n;
    if (n < 0)
        die("read");
    return total;
}

static void fill(int fd, uint64_t total)
{
    for (uint64_t left = total, len; left > 0; left -= len) {
        len = left < sizeof(piece) ? left : sizeof(piece);
        put(fd, piece, len);
    }
}

/* In a process of its own, with a socket that waits. */
static void serve_bytes(int fd, char what)
{
    uint64_t total = 0;
    if (what == 'u') {
        total = drain(fd);
        put(fd, &total, sizeof(total));
    } else {
        get(fd, &total, sizeof(total));
        fill(fd, total);
    }
    exit(0);
}

static void serve_one(int fd)
{
    char what;
    ssize_t n = read(fd, &what, 1);
    if (n == 1 && what == 'e') {
        put(fd, &what, 1);
        return;
    }
    if (n == 1 && fork() == 0)
        serve_bytes(fd, what);
    (void)close(fd);
}

static void serve(int listener)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    int set = epoll_create1(0);
    if (set < 0 || listen(listener, 1024) < 0 ||
        epoll_ctl(set, EPOLL_CTL_ADD, listener, &event) < 0)
        die("listen");
    (void)signal(SIGCHLD, SIG_IGN);
    while (epoll_wait(set, &event, 1, -1) == 1) {
        if (event.data.fd != listener) {
            serve_one(event.data.fd);
            continue;
        }
        event.data.fd = accept(listener, NULL, NULL);
        if (event.data.fd >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event) < 0)
            die("epoll_ctl");
    }
}

static int dial(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        die("connect");
    return fd;
}

static void carry(const struct sockaddr_in *to, bool up, uint64_t total)
{
    uint64_t count = 0;
    int fd = dial(to);
    put(fd, up ? "u" : "d", 1);
    if (up) {
        fill(fd, total);
        (void)shutdown(fd, SHUT_WR);
        get(fd, &count, sizeof(count));
    } else {
        put(fd, &total, sizeof(total));
        count = drain(fd);
    }
    if (count != total) {
        (void)fprintf(stderr, "%llu bytes arrived\n", (unsigned long long)count);
        exit(1);
    }
}

static void connect_all(const struct sockaddr_in *to, bool at_once, uint64_t count)
{
    int held[FLOW_MOST];
    char answer;
    for (uint64_t i = 0; i < count && i < FLOW_MOST; i++) {
        held[i] = dial(to);
        put(held[i], "e", 1);
        if (at_once)
            continue;
        get(held[i], &answer, 1);
        (void)close(held[i]);
    }
    for (uint64_t i = 0; at_once && i < count && i < FLOW_MOST; i++)
        get(held[i], &answer, 1);
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    const int on = 1;
    if (argc < 4 || inet_pton(AF_INET, argv[2], &at.sin_addr) != 1) {
        (void)fputs("usage: flow serve|up|down|many|each ADDRESS PORT [AMOUNT]\n", stderr);
        return 2;
    }
    at.sin_port = htons((uint16_t)atoi(argv[3]));
    (void)signal(SIGPIPE, SIG_IGN);
    if (strcmp(argv[1], "serve") == 0) {
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0)
            die("bind");
        serve(listener);
        return 1;
    }
    uint64_t amount = strtoull(argc > 4 ? argv[4] : "1", NULL, 10);
    int64_t begun = now_us();
    if (argv[1][0] == 'u' || argv[1][0] == 'd')
        carry(&at, argv[1][0] == 'u', amount << 20);
    else
        connect_all(&at, argv[1][0] == 'm', amount);
    (void)printf("flow: %.1f ms\n", (double)(now_us() - begun) / 1000);
    return 0;
}
