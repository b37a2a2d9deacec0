/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - epoll, a sorted list of timers, and a list of things to free.
 *
 * A turn: wait without the lock; take it; run what is ready; run timers that are due; let the VM
 * use up leftovers of queues (`after`); free what was given up; release the lock. vCPU threads
 * get at devices only between two turns or while the loop waits.
 *
 * Timers are few and mostly of one length, so a list is enough. Their resolution is a
 * millisecond, that of epoll_wait, rounded up: a timer never fires early.
 */
#include "loop.h"

#include <errno.h>
#include <time.h>

#define LOOP_BATCH 32
#define NS_PER_MS  1000000ull

int loop_init(struct loop *l)
{
    *l = (struct loop){.epfd = epoll_create1(EPOLL_CLOEXEC)};
    list_init(&l->timers);
    list_init(&l->later);
    return l->epfd < 0 ? -errno : 0;
}

static void loop_run_later(struct loop *l)
{
    while (!list_empty(&l->later)) {
        struct loop_later *later = list_first(&l->later, struct loop_later, link);
        list_del(&later->link);
        later->run(later);
    }
}

void loop_done(struct loop *l)
{
    loop_run_later(l);
    if (l->epfd >= 0)
        (void)close(l->epfd);
    l->epfd = -1;
}

uint64_t loop_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 * NS_PER_MS + (uint64_t)ts.tv_nsec;
}

int loop_add(struct loop *l, struct loop_source *s, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};
    return epoll_ctl(l->epfd, EPOLL_CTL_ADD, s->fd, &ev) < 0 ? -errno : 0;
}

int loop_change(struct loop *l, struct loop_source *s, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};
    return epoll_ctl(l->epfd, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop *l, struct loop_source *s)
{
    if (s->fd >= 0)
        (void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, s->fd, NULL);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_ns)
{
    struct list *pos = &l->timers;
    list_del(&t->link);
    t->at_ns = loop_now() + after_ns;
    /* From the back: most timers share one duration, so the new one is the last. */
    while (pos->prev != &l->timers &&
           list_entry(pos->prev, struct loop_timer, link)->at_ns > t->at_ns)
        pos = pos->prev;
    list_add_tail(pos, &t->link);
}

void loop_later(struct loop *l, struct loop_later *later, void (*run)(struct loop_later *))
{
    later->run = run;
    list_add_tail(&l->later, &later->link);
}

static int loop_wait_ms(const struct loop *l, int max_ms)
{
    if (list_empty(&l->timers))
        return max_ms;
    uint64_t at = list_first(&l->timers, struct loop_timer, link)->at_ns, now = loop_now();
    if (at <= now)
        return 0;
    uint64_t ms = (at - now + NS_PER_MS - 1) / NS_PER_MS;
    if (max_ms >= 0 && ms > (uint64_t)max_ms)
        return max_ms;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static void loop_fire_timers(struct loop *l)
{
    uint64_t now = loop_now();
    while (!list_empty(&l->timers)) {
        struct loop_timer *t = list_first(&l->timers, struct loop_timer, link);
        if (t->at_ns > now)
            return;
        list_del(&t->link);
        t->fire(t);
    }
}

int loop_turn(struct loop *l, int max_ms)
{
    struct epoll_event ev[LOOP_BATCH];
    int n = epoll_wait(l->epfd, ev, LOOP_BATCH, loop_wait_ms(l, max_ms));
    /* After a signal the turn is still due: timers, and what vCPU threads have left. */
    if (n < 0 && errno != EINTR)
        return -errno;
    if (l->enter != NULL)
        l->enter(l->ctx);
    for (int i = 0; i < n; i++) {
        struct loop_source *s = ev[i].data.ptr;
        /* An earlier event of this batch may have closed it. */
        if (s->fd >= 0)
            s->ready(s, ev[i].events);
    }
    loop_fire_timers(l);
    bool more = l->after != NULL && l->after(l->ctx);
    loop_run_later(l);
    if (l->leave != NULL)
        l->leave(l->ctx);
    return more;
}

void loop_run(struct loop *l)
{
    int more = 0;
    while (!l->stop && more >= 0)
        more = loop_turn(l, more > 0 ? 0 : -1);
}
