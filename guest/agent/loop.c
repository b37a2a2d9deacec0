/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - one turn of the loop: loop_wait, the caller's dispatch of the batch, loop_end_turn.
 *
 * Memory is freed only in loop_end_turn. Until then an event later in the batch may still point to
 * a source whose owner died earlier in it; such a source has fd -1 and is skipped. For the same
 * reason loop_close takes the descriptor out of the epoll set before it closes it.
 *
 * Timers are a sorted list. The agent has a few hundred at most and nearly all are started with one
 * of a few delays, so the search for the place starts at the end.
 */
#include "agent/loop.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

int loop_init(struct loop *l)
{
    list_init(&l->timers);
    list_init(&l->tasks);
    l->dead = NULL;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return l->epoll_fd < 0 ? -errno : 0;
}

void loop_done(struct loop *l)
{
    while (l->dead != NULL) {
        struct deferred *d = l->dead;
        l->dead = d->next;
        d->release(d);
    }
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
    l->epoll_fd = -1;
}

void source_init(struct source *s, enum source_kind kind, int fd)
{
    *s = (struct source){.kind = kind, .fd = fd};
}

int loop_watch(struct loop *l, struct source *s, uint32_t events)
{
    if (s->fd < 0 || s->events == events)
        return 0;
    struct epoll_event ev = {.events = events, .data.ptr = s};
    int op = s->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(l->epoll_fd, op, s->fd, &ev) < 0)
        return -errno;
    s->events = events;
    return 0;
}

int loop_send(struct loop *l, struct source *s, struct buf *out)
{
    while (out->len > 0) {
        ssize_t n = send(s->fd, out->data, out->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return -errno;
        buf_consume(out, (size_t)n);
    }
    return loop_watch(l, s, EPOLLIN | (out->len > 0 ? EPOLLOUT : 0u));
}

void loop_close(struct loop *l, struct source *s)
{
    if (s->fd < 0)
        return;
    /* A child between fork and exec holds the same open file. Closing the descriptor alone would
     * leave it in the epoll set. */
    (void)loop_watch(l, s, 0);
    (void)close(s->fd);
    s->fd = -1;
    s->events = 0;
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
    list_init(&t->node);
    t->fire = fire;
}

void loop_timer_start(struct loop *l, struct timer *t, uint64_t delay_us)
{
    list_del(&t->node);
    t->at = loop_now() + delay_us;
    struct list *pos = l->timers.prev;
    while (pos != &l->timers && list_entry(pos, struct timer, node)->at > t->at)
        pos = pos->prev;
    list_add_head(pos, &t->node);
}

void timer_stop(struct timer *t)
{
    list_del(&t->node);
}

void task_init(struct task *t, void (*run)(struct task *t))
{
    list_init(&t->node);
    t->run = run;
}

void loop_task_add(struct loop *l, struct task *t)
{
    list_del(&t->node);
    list_add_tail(&l->tasks, &t->node);
}

void task_cancel(struct task *t)
{
    list_del(&t->node);
}

void loop_defer(struct loop *l, struct deferred *d, void (*release)(struct deferred *d))
{
    d->release = release;
    d->next = l->dead;
    l->dead = d;
}

static int loop_timeout(const struct loop *l)
{
    if (!list_empty(&l->tasks))
        return 0;
    if (list_empty(&l->timers))
        return -1;
    uint64_t now = loop_now();
    uint64_t at = list_first(&l->timers, struct timer, node)->at;
    if (at <= now)
        return 0;
    uint64_t ms = (at - now + 999) / 1000; /* rounded up: too early would be a busy loop */
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

int loop_wait(struct loop *l, struct epoll_event events[LOOP_BATCH])
{
    /* A signal does not end the program: it comes as an event of the signalfd. */
    int n = epoll_wait(l->epoll_fd, events, LOOP_BATCH, loop_timeout(l));
    return n < 0 ? (errno == EINTR ? 0 : -errno) : n;
}

void loop_end_turn(struct loop *l)
{
    uint64_t now = list_empty(&l->timers) ? 0 : loop_now();
    while (!list_empty(&l->timers)) {
        struct timer *t = list_first(&l->timers, struct timer, node);
        if (t->at > now)
            break;
        list_del(&t->node);
        t->fire(t);
    }
    /* A task that is queued by a task runs in the next turn, after the events of that turn. */
    struct list turn = LIST_INIT(turn);
    while (!list_empty(&l->tasks)) {
        struct list *n = l->tasks.next;
        list_del(n);
        list_add_tail(&turn, n);
    }
    while (!list_empty(&turn)) {
        struct task *t = list_first(&turn, struct task, node);
        list_del(&t->node);
        t->run(t);
    }
    while (l->dead != NULL) {
        struct deferred *d = l->dead;
        l->dead = d->next;
        d->release(d);
    }
}

uint64_t loop_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}
