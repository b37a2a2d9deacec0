/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - descriptors, work that is left, and time-outs on one libuv loop.
 *
 * Theory of operation. Flows are watched by an edge-triggered epoll instance, which the loop polls
 * as one descriptor. The owner remembers an edge until a call says EAGAIN, so a flow that stalls
 * and continues costs no system call but its own reads and writes. With level triggers each stall
 * would change the interest twice. What an owner did not finish within its share it continues in
 * the next turn (watch_later); the loop does not sleep meanwhile.
 *
 * All time-outs of one kind are of one length, so a list in the order of their beginnings is in the
 * order of their ends: setting one is O(1) and costs no memory but its node. An empty list has no
 * timer: an idle process sleeps.
 *
 * Nothing is released while events of the same batch may name it: watch_reap puts it on a list that
 * is emptied after the batch.
 */
#ifndef CORRAL_EGRESS_WATCH_H
#define CORRAL_EGRESS_WATCH_H

#include <sys/epoll.h>
#include <uv.h>

#include "base/list.h"

/* Embedded in its owner. */
struct watch {
    int fd; /* -1: none */
    void (*ready)(struct watch *w, uint32_t events);
};

/* Work for the next turn, or memory to release. Embedded; deleted with list_del. */
struct watch_task {
    struct list node;
    void (*run)(struct watch_task *t);
};

struct watch_set {
    uv_loop_t *loop;
    uv_poll_t poll;
    uv_idle_t idle;
    int epoll;
    struct list later, dead; /* struct watch_task */
};

int watch_set_init(struct watch_set *s, uv_loop_t *loop);

/* Takes the descriptor over, also on failure. `ready` must be set. */
int watch_add(struct watch_set *s, struct watch *w, int fd);
void watch_close(struct watch *w);
void watch_later(struct watch_set *s, struct watch_task *t);
void watch_reap(struct watch_set *s, struct watch_task *t);

struct watch_deadline {
    struct list node;
    uint64_t at;
};

struct watch_deadlines {
    uv_timer_t timer;
    uint64_t ms;
    struct list queue; /* struct watch_deadline, the next one first */
    void (*passed)(struct watch_deadline *d);
};

int watch_deadlines_init(struct watch_deadlines *q, uv_loop_t *loop, uint64_t ms,
                         void (*passed)(struct watch_deadline *d));
/* Begins, or begins again. It is off its queue when `passed` is called. */
void watch_deadline_set(struct watch_deadlines *q, struct watch_deadline *d);
static inline void watch_deadline_clear(struct watch_deadline *d)
{
    list_del(&d->node);
}

#endif
