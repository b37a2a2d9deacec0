/* SPDX-License-Identifier: Apache-2.0 */
/*
 * await_agent.h - waits until the agent of a microVM listens: connects to vsock.sock with the
 * greeting of wire.h, again and again, until the answer is OK.
 */
#ifndef CORRAL_ISOLATION_KVM_AWAIT_AGENT_H
#define CORRAL_ISOLATION_KVM_AWAIT_AGENT_H

#include <stdbool.h>
#include <uv.h>

#include "wire/greeting.h"

struct await_agent {
    const char *dir;
    /* 0: it listens. -ETIMEDOUT: it did not in time. Never from inside a call; once. */
    void (*done)(struct await_agent *a, int status);
    void (*closed)(struct await_agent *a);
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_poll_t poll; /* of one try; exists while `polling` */
    bool open, polling, over, closing;
    int fd;
    uint64_t deadline; /* uv_now */
    uint64_t wait_ms;  /* before the next try */
    struct wire_greeting answer;
};

/* `dir` stays the caller's, as do the two callbacks, which are set before. */
void await_agent_start(struct await_agent *a, uv_loop_t *loop, const char *dir,
                       unsigned int timeout_ms);

/* The connection on which it has answered, for the first request, to be taken inside `done`. It
 * becomes the caller's; -1: there is none. */
int await_agent_take(struct await_agent *a);

/* False when it never waited or is closing: `closed` will not come. */
bool await_agent_close(struct await_agent *a);

#endif
