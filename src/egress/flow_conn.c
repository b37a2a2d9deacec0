/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/flow_conn.h"

#include <errno.h>
#include <string.h>

#include "egress/egress.h"
#include "egress/intercept.h"
#include "egress/query.h"
#include "egress/relay.h"
#include "egress/tenant.h"

int flow_rest_set(struct flow_rest *r, const void *data, size_t len)
{
    uint8_t *copy = len > 0 ? malloc(len) : NULL;
    if (len > 0 && copy == NULL)
        return -ENOMEM;
    if (len > 0)
        memcpy(copy, data, len);
    free(r->data);
    *r = (struct flow_rest){.data = copy, .len = len};
    return 0;
}

int flow_rest_add(struct flow_rest *r, const void *data, size_t len)
{
    size_t have = flow_rest_len(r);
    uint8_t *grown = malloc(have + len);
    if (grown == NULL)
        return -ENOMEM;
    if (have > 0)
        memcpy(grown, r->data + r->at, have);
    memcpy(grown + have, data, len);
    free(r->data);
    *r = (struct flow_rest){.data = grown, .len = have + len};
    return 0;
}

void flow_rest_take(struct flow_rest *r, size_t len)
{
    r->at += len;
    if (r->at < r->len)
        return;
    free(r->data);
    *r = (struct flow_rest){.data = NULL};
}

bool flow_flush_down(struct flow *f)
{
    while (flow_rest_len(&f->to_down) > 0 && f->down.writable) {
        ssize_t n = send(f->down.watch.fd, f->to_down.data + f->to_down.at,
                         flow_rest_len(&f->to_down), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            f->down.writable = false;
            if (errno != EAGAIN)
                f->down.ended = f->down.readable = true; /* reading finds out */
        } else {
            flow_rest_take(&f->to_down, (size_t)n);
        }
    }
    return flow_rest_len(&f->to_down) == 0;
}

int flow_send_down(struct flow *f, const void *data, size_t len)
{
    size_t sent = 0;
    if (flow_rest_len(&f->to_down) == 0) {
        ssize_t n = send(f->down.watch.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return -EPIPE;
        sent = n < 0 ? 0 : (size_t)n;
    }
    if (sent == len)
        return 0;
    f->down.writable = false;
    return flow_rest_add(&f->to_down, (const uint8_t *)data + sent, len - sent);
}

int flow_send_head(struct flow *f, enum flow_type type)
{
    uint8_t head[WIRE_HEADER_SIZE];
    frame_head(head, type, 0);
    return flow_send_down(f, head, sizeof(head));
}

static void flow_free(struct watch_task *task)
{
    struct flow *f = container_of(task, struct flow, reap);
    free(f->from_down.data);
    free(f->to_down.data);
    free(f->host);
    free(f->name);
    free(f);
}

void flow_close(struct flow *f)
{
    struct tenant *t = f->tenant;
    struct egress *e = t->egress;
    if (f->state == FLOW_CLOSED)
        return;
    flow_dial_drop(f);
    intercept_drop(f);
    if (f->state == FLOW_ANSWERING)
        query_close(f);
    f->state = FLOW_CLOSED;
    watch_deadline_clear(&f->deadline);
    list_del(&f->task.node);
    list_del(&f->node);
    e->fds -= f->up.watch.fd >= 0 ? 2 : 1;
    watch_close(&f->down.watch);
    watch_close(&f->up.watch);
    t->connections--;
    if (f->counted) {
        t->open--;
        e->meter.open--;
        t->bytes.dirty = true;
        meter_touch(e);
    }
    watch_reap(&e->watches, &f->reap);
}

void flow_reset_up(struct flow *f)
{
    static const struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (f->up.watch.fd < 0)
        return;
    (void)setsockopt(f->up.watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    watch_close(&f->up.watch);
    f->tenant->egress->fds--;
}

void flow_cut(struct flow *f)
{
    /* Inside a DATA frame nothing else can be said; then the end of the connection says it. */
    bool open = f->state == FLOW_RELAYING || f->state == FLOW_INTERCEPTING;
    if (open && flow_rest_len(&f->to_down) == 0)
        (void)flow_send_head(f, FLOW_RST);
    flow_reset_up(f);
    if (f->state == FLOW_RESOLVING || f->state == FLOW_CONNECTING)
        flow_refuse(f, FLOW_R_DENIED);
    flow_close(f);
}

void flow_judge(struct flow *f)
{
    struct tenant *t = f->tenant;
    char text[ADDRESS_TEXT];
    if (f->state != FLOW_CONNECTING && f->state != FLOW_RELAYING && f->state != FLOW_INTERCEPTING &&
        f->state != FLOW_CLOSING)
        return;
    /* Its next connection is intercepted. */
    if (f->state == FLOW_RELAYING && !f->passed && intercept_wanted(f)) {
        flow_cut(f);
        return;
    }
    const struct rule_target target = {
        .name = f->name != NULL ? f->name : "", .address = &f->address, .port = f->port};
    enum egress_reason why = policy_check(&t->egress->policy, &t->policy, &target, f->own);
    if (why == EGRESS_OK)
        return;
    tenant_event(t, EGRESS_FLOW_DENIED, why, f->host, address_print(&f->address, text), f->port);
    flow_cut(f);
}

void flow_flush(struct flow *f)
{
    f->state = FLOW_CLOSING;
    if (flow_flush_down(f) || f->down.ended)
        flow_close(f);
    else if (list_empty(&f->deadline.node))
        watch_deadline_set(&f->tenant->egress->flush, &f->deadline);
}

/* The first frame, perhaps in pieces. Bytes behind it wait in from_down. */
static void flow_read_first(struct flow *f)
{
    uint8_t bytes[WIRE_HEADER_SIZE + FRAME_MAX_FIRST];
    struct frame_first first;
    ssize_t n = recv(f->down.watch.fd, bytes, sizeof(bytes) - flow_rest_len(&f->from_down),
                     MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        f->down.readable = false;
        return;
    }
    if (n <= 0 || flow_rest_add(&f->from_down, bytes, (size_t)n) < 0) {
        flow_close(f);
        return;
    }
    struct span have = {(const char *)f->from_down.data, flow_rest_len(&f->from_down)};
    int used = frame_first_read(have, &first);
    if (used < 0) {
        flow_close(f);
    } else if (used == 0) {
        flow_read_first(f);
    } else if (first.type == FLOW_RESOLVE) {
        watch_deadline_clear(&f->deadline);
        f->state = FLOW_ANSWERING;
        query_open(f);
    } else {
        watch_deadline_clear(&f->deadline);
        flow_dial_open(f, &first);
        if (f->state != FLOW_CLOSED)
            flow_rest_take(&f->from_down, (size_t)used);
    }
}

static void flow_side_note(struct flow_side *s, uint32_t events)
{
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        s->ended = true;
    if ((events & EPOLLIN) != 0 || s->ended)
        s->readable = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        s->writable = true;
}

static void flow_on_down(struct watch *w, uint32_t events)
{
    struct flow *f = container_of(w, struct flow, down.watch);
    flow_side_note(&f->down, events);
    switch (f->state) {
    case FLOW_READING:
        if (f->down.readable)
            flow_read_first(f);
        break;
    case FLOW_RESOLVING:
    case FLOW_CONNECTING:
        if (f->down.ended) { /* the sandbox's program gave up */
            flow_reset_up(f);
            flow_close(f);
        }
        break;
    case FLOW_RELAYING:
        relay_run(f);
        break;
    case FLOW_INTERCEPTING:
        intercept_run(f);
        break;
    case FLOW_ANSWERING:
        query_run(f);
        break;
    case FLOW_CLOSING:
        flow_flush(f);
        break;
    default:
        break;
    }
}

static void flow_on_up(struct watch *w, uint32_t events)
{
    struct flow *f = container_of(w, struct flow, up.watch);
    flow_side_note(&f->up, events);
    if (f->state == FLOW_CONNECTING)
        flow_dial_event(f);
    else if (f->state == FLOW_RELAYING)
        relay_run(f);
    else if (f->state == FLOW_INTERCEPTING)
        intercept_run(f);
}

static void flow_on_task(struct watch_task *task)
{
    struct flow *f = container_of(task, struct flow, task);
    if (f->state == FLOW_RELAYING)
        relay_run(f);
    else if (f->state == FLOW_INTERCEPTING)
        intercept_run(f);
    else if (f->state == FLOW_ANSWERING)
        query_run(f);
}

void flow_on_deadline(struct watch_deadline *d)
{
    struct flow *f = container_of(d, struct flow, deadline);
    if (f->state == FLOW_RESOLVING || f->state == FLOW_CONNECTING)
        flow_dial_late(f);
    else if (f->state == FLOW_INTERCEPTING)
        intercept_late(f);
    else
        flow_close(f);
}

void flow_start(struct tenant *t, int fd)
{
    struct egress *e = t->egress;
    const int size = FLOW_SNDBUF;
    struct flow *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        (void)close(fd);
        return;
    }
    f->tenant = t;
    f->state = FLOW_READING;
    f->down.watch = (struct watch){.fd = -1, .ready = flow_on_down};
    f->up.watch = (struct watch){.fd = -1, .ready = flow_on_up};
    f->down.writable = true;
    f->task.run = flow_on_task;
    f->reap.run = flow_free;
    list_init(&f->task.node);
    list_init(&f->reap.node);
    list_init(&f->deadline.node);
    list_init(&f->queries);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (watch_add(&e->watches, &f->down.watch, fd) < 0) {
        free(f);
        return;
    }
    list_add_tail(&t->flows, &f->node);
    t->connections++;
    e->fds++;
    watch_deadline_set(&e->open, &f->deadline);
}
