/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the agent's event loop: epoll with typed sources, timers, slices of long work, and
 * memory that is released after the batch of events in which it died.
 *
 * A source is embedded in its owner, and its kind says what the owner is. The one switch over kinds
 * is in serve.c. A closed source (fd -1) gets no more events, not even those of the running batch.
 */
#ifndef CORRAL_AGENT_LOOP_H
#define CORRAL_AGENT_LOOP_H

#include <stdbool.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/list.h"

#define LOOP_BATCH 64 /* events taken per turn */

enum source_kind {
    SOURCE_SIGNAL,         /* serve.c: signalfd */
    SOURCE_LISTENER,       /* serve.c: a connection waits */
    SOURCE_CONN,           /* conn.c: the server's end of an operation */
    SOURCE_PROCESS_STATUS, /* process/: the child has executed its program, or failed to */
    SOURCE_PROCESS_STDIN,  /* process/: a pipe, or a terminal for writing */
    SOURCE_PROCESS_OUTPUT, /* process/: stdout or stderr, or a terminal for reading */
    SOURCE_SINK,           /* sink.c: output nobody reads */
    SOURCE_RELAY,          /* relay.c: the far end of a raw connection */
    SOURCE_KEPT,           /* kept.c: the agent's own end of a kept code run */
    SOURCE_WATCH,          /* ops/watch.c: an inotify descriptor */
    SOURCE_WORKER,         /* worker.c: frames of a child */
};

struct source {
    enum source_kind kind;
    int fd;          /* owned; -1: closed */
    uint32_t events; /* EPOLL* watched now; 0: not in the epoll set */
};

struct timer {
    struct list node;
    uint64_t at; /* us, monotonic */
    void (*fire)(struct timer *t);
};

/* Work that is done in slices: it runs once per turn while it is queued. */
struct task {
    struct list node;
    void (*run)(struct task *t); /* no longer queued when called */
};

struct deferred {
    struct deferred *next;
    void (*release)(struct deferred *d);
};

struct loop {
    int epoll_fd;
    struct list timers; /* earliest first */
    struct list tasks;
    struct deferred *dead;
};

int loop_init(struct loop *l);
void loop_done(struct loop *l);

/* Takes ownership of `fd`. */
void source_init(struct source *s, enum source_kind kind, int fd);
/* Changes the watched events. A source that watches nothing gets no event at all, not even
 * EPOLLHUP: a hung-up pipe that must wait costs no turns. 0 or a negative errno. */
int loop_watch(struct loop *l, struct source *s, uint32_t events);
/* Sends as much of `out` as the socket takes. Then watches for input, and for room while bytes are
 * left. 0 or a negative errno. */
int loop_send(struct loop *l, struct source *s, struct buf *out);
void loop_close(struct loop *l, struct source *s); /* closes the fd; idempotent */

void timer_init(struct timer *t, void (*fire)(struct timer *t));
void loop_timer_start(struct loop *l, struct timer *t, uint64_t delay_us); /* restarts */
void timer_stop(struct timer *t);

void task_init(struct task *t, void (*run)(struct task *t));
void loop_task_add(struct loop *l, struct task *t);
void task_cancel(struct task *t);

/* `release` is called after the running batch. */
void loop_defer(struct loop *l, struct deferred *d, void (*release)(struct deferred *d));

/* Waits for events; 0 when only timers or tasks are due. */
int loop_wait(struct loop *l, struct epoll_event events[LOOP_BATCH]);
/* Runs due timers and one slice of every task, then releases the dead. */
void loop_end_turn(struct loop *l);

uint64_t loop_now(void); /* us, monotonic */

#endif
