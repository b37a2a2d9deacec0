/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.c - one epoll set and one sorted list of timers.
 *
 * Theory of operation. The batch stays in the structure while it is handled: unwatching a source
 * takes what is left of its events out of it. A slot that is closed and used again within a batch
 * therefore never sees an event of its former life.
 *
 * Most timers of a kind have the same length, so a new one belongs at or near the end of the list.
 */
#include "agent/net/poll.h"

#include <errno.h>
#include <time.h>

int poll_init(struct poll *p)
{
    list_init(&p->timers);
    p->batch_next = p->batch_len = 0;
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return p->epoll_fd < 0 ? -errno : 0;
}

void poll_done(struct poll *p)
{
    if (p->epoll_fd >= 0)
        (void)close(p->epoll_fd);
    p->epoll_fd = -1;
}

static int next_timeout(const struct poll *p)
{
    if (list_empty(&p->timers))
        return -1;
    uint64_t now = poll_now(), at = list_first(&p->timers, struct poll_timer, node)->at;
    if (at <= now)
        return 0;
    return at - now > INT32_MAX ? INT32_MAX : (int)(at - now);
}

static void fire_timers(struct poll *p)
{
    uint64_t now = list_empty(&p->timers) ? 0 : poll_now();
    while (!list_empty(&p->timers)) {
        struct poll_timer *t = list_first(&p->timers, struct poll_timer, node);
        if (t->at > now)
            return;
        list_del(&t->node);
        t->fire(t);
    }
}

int poll_turn(struct poll *p)
{
    int n = epoll_wait(p->epoll_fd, p->batch, POLL_BATCH, next_timeout(p));
    if (n < 0 && errno != EINTR)
        return -errno;
    p->batch_len = n < 0 ? 0 : n;
    for (p->batch_next = 0; p->batch_next < p->batch_len;) {
        struct epoll_event *event = &p->batch[p->batch_next++];
        struct poll_source *s = event->data.ptr;
        if (s != NULL)
            s->handle(s, event->events);
    }
    p->batch_len = 0;
    fire_timers(p);
    return 0;
}

void poll_source_init(struct poll_source *s, void (*handle)(struct poll_source *s, uint32_t events))
{
    *s = (struct poll_source){.fd = -1, .handle = handle};
}

int poll_watch(struct poll *p, struct poll_source *s, uint32_t events)
{
    if (s->fd < 0 || (s->watched && s->events == events))
        return 0;
    struct epoll_event event = {.events = events, .data.ptr = s};
    if (epoll_ctl(p->epoll_fd, s->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &event) < 0)
        return -errno;
    s->watched = true;
    s->events = events;
    return 0;
}

void poll_unwatch(struct poll *p, struct poll_source *s)
{
    if (!s->watched)
        return;
    (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    s->watched = false;
    s->events = 0;
    for (int i = p->batch_next; i < p->batch_len; i++) {
        if (p->batch[i].data.ptr == s)
            p->batch[i].data.ptr = NULL;
    }
}

void poll_close(struct poll *p, struct poll_source *s)
{
    poll_unwatch(p, s);
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
}

void poll_timer_init(struct poll_timer *t, void (*fire)(struct poll_timer *t))
{
    list_init(&t->node);
    t->fire = fire;
}

void poll_timer_start(struct poll *p, struct poll_timer *t, uint64_t delay_ms)
{
    list_del(&t->node);
    t->at = poll_now() + delay_ms;
    struct list *pos = p->timers.prev;
    while (pos != &p->timers && list_entry(pos, struct poll_timer, node)->at > t->at)
        pos = pos->prev;
    list_add_head(pos, &t->node);
}

void poll_timer_stop(struct poll_timer *t)
{
    list_del(&t->node);
}

uint64_t poll_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}
