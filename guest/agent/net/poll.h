/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.h - the event loop of the network's thread: epoll, sources that carry their handler, timers.
 *
 * It shares nothing with the agent's loop. An unwatched or closed source gets no more events, also
 * not those of the running batch, so that its owner's memory may be used again at once. Without an
 * armed timer the loop sleeps until a descriptor wakes it.
 */
#ifndef CORRAL_AGENT_NET_POLL_H
#define CORRAL_AGENT_NET_POLL_H

#include <stdbool.h>
#include <sys/epoll.h>

#include "base/list.h"

#define POLL_BATCH 64

struct poll_source {
    int fd; /* owned; -1: closed */
    bool watched;
    uint32_t events;
    void (*handle)(struct poll_source *s, uint32_t events);
};

struct poll_timer {
    struct list node;
    uint64_t at; /* ms, monotonic */
    void (*fire)(struct poll_timer *t);
};

struct poll {
    int epoll_fd;
    struct list timers; /* earliest first */
    struct epoll_event batch[POLL_BATCH];
    int batch_next, batch_len;
};

int poll_init(struct poll *p);
void poll_done(struct poll *p);
/* One wait and the events and timers it brought. 0 or a negative errno. */
int poll_turn(struct poll *p);

void poll_source_init(struct poll_source *s,
                      void (*handle)(struct poll_source *s, uint32_t events));
/* With no events the source still hears of errors and hang-ups. 0 or a negative errno. */
int poll_watch(struct poll *p, struct poll_source *s, uint32_t events);
void poll_unwatch(struct poll *p, struct poll_source *s);
void poll_close(struct poll *p, struct poll_source *s);

void poll_timer_init(struct poll_timer *t, void (*fire)(struct poll_timer *t));
void poll_timer_start(struct poll *p, struct poll_timer *t, uint64_t delay_ms);
void poll_timer_stop(struct poll_timer *t);

uint64_t poll_now(void); /* ms, monotonic */

#endif
