/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tcp_listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"

static void tcp_listener_on_readable(uv_poll_t *poll, int status, int events);
static void tcp_listener_on_retry(uv_timer_t *timer);
static void tcp_listener_on_close(uv_handle_t *handle);

static int tcp_listener_bad_address(const char *text, struct error *err)
{
    return error_set(err, ERROR_INVALID_ARGUMENT,
                     "'%s' is not an address such as 127.0.0.1:8000 or [::1]:8000", text);
}

int tcp_listener_parse(const char *text, struct sockaddr_storage *ret, struct error *err)
{
    struct sockaddr_storage out = {0};
    char host[INET6_ADDRSTRLEN];
    int64_t port;

    const char *colon = strrchr(text, ':');
    if (colon == NULL || num_parse(colon + 1, 0, 65535, &port) < 0)
        return tcp_listener_bad_address(text, err);
    const char *start = text;
    size_t len = (size_t)(colon - text);
    bool bracketed = len >= 2 && text[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        start++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(host))
        return tcp_listener_bad_address(text, err);
    memcpy(host, start, len);
    host[len] = '\0';
    if (bracketed) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
            return tcp_listener_bad_address(text, err);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)&out;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
            return tcp_listener_bad_address(text, err);
    }
    *ret = out;
    return 0;
}

bool tcp_listener_is_loopback(const struct sockaddr_storage *addr)
{
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        return in6->sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static socklen_t tcp_listener_addr_len(const struct sockaddr_storage *addr)
{
    return addr->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static int tcp_listener_bind(const char *text, struct sockaddr_storage *addr, struct error *err)
{
    cleanup_close int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                                  IPPROTO_TCP);
    const int on = 1;
    socklen_t len = tcp_listener_addr_len(addr);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)addr, len) < 0 || listen(fd, TCP_LISTENER_BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)addr, &len) < 0) {
        int rv = -errno;
        if (rv != -EADDRINUSE)
            return error_set_errno(err, ERROR_UNAVAILABLE, rv, "cannot listen on %s", text);
        (void)error_set(err, ERROR_UNAVAILABLE,
                        "cannot listen on %s: another program uses this port", text);
        return rv;
    }
    return TAKE_FD(fd);
}

static void tcp_listener_print_address(struct tcp_listener *l, const struct sockaddr_storage *addr)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        (void)snprintf(l->address, sizeof(l->address), "%s:%u", host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        (void)snprintf(l->address, sizeof(l->address), "[%s]:%u", host, ntohs(in6->sin6_port));
    }
}

int tcp_listener_init(struct tcp_listener *l, uv_loop_t *loop, const char *address,
                      const struct tcp_listener_handler *handler, struct error *err)
{
    struct sockaddr_storage addr;
    int rv = tcp_listener_parse(address, &addr, err);
    if (rv < 0)
        return rv;
    cleanup_close int fd = tcp_listener_bind(address, &addr, err);
    if (fd < 0)
        return fd;
    *l = (struct tcp_listener){.handler = handler, .fd = -1};
    rv = uv_poll_init_socket(loop, &l->poll, fd);
    if (rv < 0)
        return error_set_errno(err, ERROR_UNAVAILABLE, rv, "cannot listen on %s", address);
    (void)uv_timer_init(loop, &l->retry); /* never fails */
    l->poll.data = l->retry.data = l;
    l->refs = 2;
    l->fd = TAKE_FD(fd);
    tcp_listener_print_address(l, &addr);
    return 0;
}

void tcp_listener_start(struct tcp_listener *l)
{
    if (l->closing || l->accepting)
        return;
    (void)uv_timer_stop(&l->retry);
    l->accepting = uv_poll_start(&l->poll, UV_READABLE, tcp_listener_on_readable) == 0;
}

void tcp_listener_pause(struct tcp_listener *l)
{
    if (l->closing)
        return;
    (void)uv_timer_stop(&l->retry);
    (void)uv_poll_stop(&l->poll);
    l->accepting = false;
}

static void tcp_listener_on_readable(uv_poll_t *poll, int status, int events)
{
    struct tcp_listener *l = poll->data;
    const int on = 1;
    (void)status;
    (void)events;
    for (unsigned int i = 0; i < TCP_LISTENER_BATCH && l->accepting; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            l->handler->accepted(l, fd);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The socket stays readable, so polling would spin. */
            tcp_listener_pause(l);
            (void)uv_timer_start(&l->retry, tcp_listener_on_retry, TCP_LISTENER_RETRY_MS, 0);
            return;
        }
        /* Any other error concerns that one connection only. */
    }
}

static void tcp_listener_on_retry(uv_timer_t *timer)
{
    tcp_listener_start(timer->data);
}

void tcp_listener_close(struct tcp_listener *l)
{
    if (l->closing)
        return;
    tcp_listener_pause(l);
    l->closing = true;
    uv_close((uv_handle_t *)&l->poll, tcp_listener_on_close);
    uv_close((uv_handle_t *)&l->retry, tcp_listener_on_close);
    /* Closed at once, so that the port is free when the owner says it has stopped listening. */
    (void)close(l->fd);
    l->fd = -1;
}

static void tcp_listener_on_close(uv_handle_t *handle)
{
    struct tcp_listener *l = handle->data;
    if (--l->refs == 0)
        l->handler->closed(l);
}

const char *tcp_listener_address(const struct tcp_listener *l)
{
    return l->address;
}
