/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.h - a listening TCP socket: accepts connections and hands their file descriptors on.
 *
 * The happy path is: listener_init (bound and listening), listener_start (accepted, accepted, ...),
 * listener_close, closed.
 * Possible failure modes are: the address cannot be bound (listener_init tells why); the process
 * runs out of file descriptors or the kernel of memory (accepting rests for LISTENER_RETRY_MS, or
 * until listener_start is called again, and clients wait in the backlog); the owner has enough
 * connections (listener_pause).
 */
#ifndef CORRAL_LISTENER_H
#define CORRAL_LISTENER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <uv.h>

#include "error.h"

#define LISTENER_BACKLOG      4096
#define LISTENER_RETRY_MS     200
#define LISTENER_BATCH        64 /* connections taken in one turn, so that others get theirs */
#define LISTENER_ADDRESS_SIZE 64

struct listener;

struct listener_handler {
    /* `fd` is non-blocking, close-on-exec and the callee's to close. */
    void (*accepted)(struct listener *l, int fd);
    void (*closed)(struct listener *l); /* the memory may be released */
};

/* Embedded in its owner; fields are listener.c's alone. */
struct listener {
    uv_poll_t poll;
    uv_timer_t retry;
    const struct listener_handler *handler;
    int fd;
    bool accepting;
    bool closing;
    unsigned int refs;                   /* open uv handles */
    char address[LISTENER_ADDRESS_SIZE]; /* as bound, with the real port */
};

/* "127.0.0.1:8000" or "[::1]:8000"; port 0 asks for any free one. */
int listener_parse(const char *text, struct sockaddr_storage *ret, struct error *err);
bool listener_is_loopback(const struct sockaddr_storage *addr);

/* On failure (negative errno, `err` filled) nothing is left open. */
int listener_init(struct listener *l, uv_loop_t *loop, const char *address,
                  const struct listener_handler *handler, struct error *err);
void listener_start(struct listener *l);
void listener_pause(struct listener *l);
void listener_close(struct listener *l);
const char *listener_address(const struct listener *l);

#endif
