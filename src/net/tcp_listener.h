/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_listener.h - a listening TCP socket: accepts connections and hands their file descriptors on.
 *
 * The happy path is: tcp_listener_init (bound and listening), tcp_listener_start (accepted,
 * accepted, ...), tcp_listener_close, closed. Possible failure modes are: the address cannot be
 * bound (tcp_listener_init tells why); the process runs out of file descriptors or the kernel of
 * memory (accepting rests for TCP_LISTENER_RETRY_MS, or until tcp_listener_start is called again,
 * and clients wait in the backlog); the owner has enough connections (tcp_listener_pause).
 */
#ifndef CORRAL_NET_TCP_LISTENER_H
#define CORRAL_NET_TCP_LISTENER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"

#define TCP_LISTENER_BACKLOG      4096
#define TCP_LISTENER_RETRY_MS     200
#define TCP_LISTENER_BATCH        64 /* connections taken in one turn, so that others get theirs */
#define TCP_LISTENER_ADDRESS_SIZE 64

struct tcp_listener;

struct tcp_listener_handler {
    /* `fd` is non-blocking, close-on-exec and the callee's to close. */
    void (*accepted)(struct tcp_listener *l, int fd);
    void (*closed)(struct tcp_listener *l); /* the memory may be released */
};

/* Embedded in its owner; fields are tcp_listener.c's alone. */
struct tcp_listener {
    uv_poll_t poll;
    uv_timer_t retry;
    const struct tcp_listener_handler *handler;
    int fd;
    bool accepting;
    bool closing;
    unsigned int refs;                       /* open uv handles */
    char address[TCP_LISTENER_ADDRESS_SIZE]; /* as bound, with the real port */
};

/* "127.0.0.1:8000" or "[::1]:8000"; port 0 asks for any free one. */
int tcp_listener_parse(const char *text, struct sockaddr_storage *ret, struct error *err);
bool tcp_listener_is_loopback(const struct sockaddr_storage *addr);

/* On failure (negative errno, `err` filled) nothing is left open. */
int tcp_listener_init(struct tcp_listener *l, uv_loop_t *loop, const char *address,
                      const struct tcp_listener_handler *handler, struct error *err);
void tcp_listener_start(struct tcp_listener *l);
void tcp_listener_pause(struct tcp_listener *l);
void tcp_listener_close(struct tcp_listener *l);
const char *tcp_listener_address(const struct tcp_listener *l);

#endif
