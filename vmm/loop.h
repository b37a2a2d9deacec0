/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the device loop: file descriptors, timers, and what is to be freed later.
 *
 * Callbacks run on the loop's thread, between the `enter` and `leave` hooks, which take and release
 * the VM's lock. A callback frees nothing itself: the next event of the batch may be for it. It
 * hands it to loop_later, which runs after the batch.
 */
#ifndef CORRAL_VMM_LOOP_H
#define CORRAL_VMM_LOOP_H

#include <stdbool.h>
#include <sys/epoll.h>

#include "base/list.h"

struct loop_source {
    int fd; /* -1: not watched */
    void (*ready)(struct loop_source *s, uint32_t events);
};

struct loop_timer {
    struct list link; /* self-linked: not set */
    uint64_t at_ns;
    void (*fire)(struct loop_timer *t);
};

struct loop_later {
    struct list link;
    void (*run)(struct loop_later *l);
};

struct loop {
    int epfd; /* owned */
    bool stop;
    struct list timers; /* soonest first */
    struct list later;
    void (*enter)(void *ctx);
    void (*leave)(void *ctx);
    bool (*after)(void *ctx); /* at the end of each turn; true: there is more to do, do not wait */
    void *ctx;
};

int loop_init(struct loop *l);
void loop_done(struct loop *l);
uint64_t loop_now(void); /* monotonic ns */

/* Watches s->fd for EPOLLIN | EPOLLOUT | ... (`events` may contain EPOLLET). */
int loop_add(struct loop *l, struct loop_source *s, uint32_t events);
/* Watches for other events; one that is there already comes with the next turn. */
int loop_change(struct loop *l, struct loop_source *s, uint32_t events);
void loop_del(struct loop *l, struct loop_source *s);

static inline void loop_timer_init(struct loop_timer *t, void (*fire)(struct loop_timer *))
{
    list_init(&t->link);
    t->fire = fire;
}
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_ns);
static inline void loop_timer_stop(struct loop_timer *t)
{
    list_del(&t->link);
}

void loop_later(struct loop *l, struct loop_later *later, void (*run)(struct loop_later *));

/* Turns until loop_stop, which is called on the loop's thread. */
void loop_run(struct loop *l);
static inline void loop_stop(struct loop *l)
{
    l->stop = true;
}
/* One turn that waits at most `max_ms`. For tests and loop_run. */
int loop_turn(struct loop *l, int max_ms);

#endif
