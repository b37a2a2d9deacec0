/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/watch.h"

#include <errno.h>

#define WATCH_BATCH 64 /* events taken at once; the rest waits for the next turn */

static void watch_empty_dead(struct watch_set *s)
{
    while (!list_empty(&s->dead)) {
        struct watch_task *t = list_first(&s->dead, struct watch_task, node);
        list_del(&t->node);
        t->run(t);
    }
}

static void watch_on_epoll(uv_poll_t *poll, int status, int events)
{
    struct watch_set *s = poll->data;
    struct epoll_event batch[WATCH_BATCH];
    int n = epoll_wait(s->epoll, batch, WATCH_BATCH, 0);
    for (int i = 0; i < n; i++) {
        struct watch *w = batch[i].data.ptr;
        if (w->fd >= 0)
            w->ready(w, batch[i].events);
    }
    watch_empty_dead(s);
}

static void watch_on_idle(uv_idle_t *idle)
{
    struct watch_set *s = idle->data;
    struct list now = LIST_INIT(now);
    /* What is put off again runs in the next turn, after new events. */
    while (!list_empty(&s->later)) {
        struct list *first = s->later.next;
        list_del(first);
        list_add_tail(&now, first);
    }
    while (!list_empty(&now)) {
        struct watch_task *t = list_first(&now, struct watch_task, node);
        list_del(&t->node);
        t->run(t);
    }
    watch_empty_dead(s);
    if (list_empty(&s->later))
        (void)uv_idle_stop(idle);
}

int watch_set_init(struct watch_set *s, uv_loop_t *loop)
{
    s->loop = loop;
    list_init(&s->later);
    list_init(&s->dead);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0)
        return -errno;
    int rv = uv_poll_init(loop, &s->poll, s->epoll);
    if (rv < 0)
        return rv;
    (void)uv_idle_init(loop, &s->idle);
    s->poll.data = s->idle.data = s;
    return uv_poll_start(&s->poll, UV_READABLE, watch_on_epoll);
}

int watch_add(struct watch_set *s, struct watch *w, int fd)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
        int rv = -errno;
        (void)close(fd);
        return rv;
    }
    w->fd = fd;
    return 0;
}

void watch_close(struct watch *w)
{
    if (w->fd >= 0)
        (void)close(w->fd);
    w->fd = -1;
}

void watch_later(struct watch_set *s, struct watch_task *t)
{
    list_del(&t->node);
    list_add_tail(&s->later, &t->node);
    (void)uv_idle_start(&s->idle, watch_on_idle);
}

void watch_reap(struct watch_set *s, struct watch_task *t)
{
    list_del(&t->node);
    list_add_tail(&s->dead, &t->node);
    (void)uv_idle_start(&s->idle, watch_on_idle);
}

static void watch_on_timer(uv_timer_t *timer)
{
    struct watch_deadlines *q = timer->data;
    uint64_t now = uv_now(timer->loop);
    while (!list_empty(&q->queue)) {
        struct watch_deadline *d = list_first(&q->queue, struct watch_deadline, node);
        if (d->at > now) {
            (void)uv_timer_start(timer, watch_on_timer, d->at - now, 0);
            return;
        }
        list_del(&d->node);
        q->passed(d);
    }
}

int watch_deadlines_init(struct watch_deadlines *q, uv_loop_t *loop, uint64_t ms,
                         void (*passed)(struct watch_deadline *d))
{
    q->ms = ms;
    q->passed = passed;
    list_init(&q->queue);
    int rv = uv_timer_init(loop, &q->timer);
    q->timer.data = q;
    return rv;
}

void watch_deadline_set(struct watch_deadlines *q, struct watch_deadline *d)
{
    list_del(&d->node);
    d->at = uv_now(q->timer.loop) + q->ms;
    list_add_tail(&q->queue, &d->node);
    /* The timer may be running for one that was cleared; it then finds the right time itself. */
    if (!uv_is_active((uv_handle_t *)&q->timer))
        (void)uv_timer_start(&q->timer, watch_on_timer, q->ms, 0);
}
