/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/tenant.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "egress/egress.h"
#include "egress/flow_conn.h"

#define TENANT_MINUTE_MS 60000u

/* Fills the bucket with `rate` each `period` and takes from it. At most a period's worth is kept.
 */
static int64_t tenant_fill(struct tenant_bucket *b, uint64_t now, uint64_t rate, uint64_t period)
{
    uint64_t since = MIN(now - b->at_ms, period);
    uint64_t most = MIN(rate, (uint64_t)INT64_MAX / 2);
    int64_t more = (int64_t)((__uint128_t)most * since / period);
    if (b->at_ms == 0) {
        b->left = (int64_t)most;
        b->at_ms = now;
    } else if (more > 0) {
        b->left = MIN(b->left + more, (int64_t)most);
        b->at_ms = now;
    }
    return b->left;
}

static void tenant_accept(struct tenant *t)
{
    struct egress *e = t->egress;
    for (unsigned int i = 0; i < TENANT_ACCEPTS; i++) {
        int fd = accept4(t->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN)
                watch_deadline_set(&e->retry, &t->retry);
            return;
        }
        if (t->connections >= (size_t)t->policy.limits.flows + TENANT_SPARE ||
            e->fds + 2 > e->fds_max)
            (void)close(fd);
        else
            flow_start(t, fd);
    }
    watch_later(&e->watches, &t->accept_later);
}

static void tenant_on_listener(struct watch *w, uint32_t events)
{
    tenant_accept(container_of(w, struct tenant, listener));
}

static void tenant_on_later(struct watch_task *task)
{
    tenant_accept(container_of(task, struct tenant, accept_later));
}

void tenant_on_retry(struct watch_deadline *d)
{
    tenant_accept(container_of(d, struct tenant, retry));
}

struct tenant *tenant_find(struct egress *e, const char *id)
{
    list_for_each (it, &e->tenants) {
        struct tenant *t = list_entry(it, struct tenant, node);
        if (strcmp(t->id, id) == 0)
            return t;
    }
    return NULL;
}

static void tenant_free(struct watch_task *task)
{
    struct tenant *t = container_of(task, struct tenant, reap);
    policy_done(&t->policy);
    free(t->names);
    free(t);
}

int tenant_add(struct egress *e, const char *id, int fd)
{
    struct tenant *old = tenant_find(e, id);
    if (old != NULL)
        tenant_drop(old);
    struct tenant *t = e->tenant_count < TENANT_MAX ? calloc(1, sizeof(*t)) : NULL;
    if (t == NULL) {
        (void)close(fd);
        log_error("a sandbox cannot be taken", "sandbox=%s", id);
        return 0; /* the others go on */
    }
    memcpy(t->id, id, strlen(id) + 1);
    t->egress = e;
    t->policy.otherwise = EGRESS_DENY;
    t->listener = (struct watch){.fd = -1, .ready = tenant_on_listener};
    t->accept_later.run = tenant_on_later;
    t->reap.run = tenant_free;
    list_init(&t->accept_later.node);
    list_init(&t->reap.node);
    list_init(&t->retry.node);
    list_init(&t->park.node);
    list_init(&t->flows);
    list_init(&t->parked);
    list_init(&t->shakes);
    list_init(&t->shaking);
    list_add_tail(&e->tenants, &t->node);
    e->tenant_count++;
    /* The socket was made elsewhere and may block. */
    int on = 1;
    if (ioctl(fd, FIONBIO, &on) < 0 || watch_add(&e->watches, &t->listener, fd) < 0) {
        log_error("a listener cannot be watched", "sandbox=%s", id);
        tenant_drop(t);
    }
    return 0;
}

void tenant_set_policy(struct tenant *t, struct policy *p)
{
    policy_done(&t->policy);
    t->policy = *p;
    list_for_each_safe (it, &t->flows)
        flow_judge(list_entry(it, struct flow, node));
}

void tenant_drop(struct tenant *t)
{
    list_for_each_safe (it, &t->flows)
        flow_cut(list_entry(it, struct flow, node));
    watch_close(&t->listener);
    watch_deadline_clear(&t->retry);
    watch_deadline_clear(&t->park);
    list_del(&t->accept_later.node);
    list_del(&t->node);
    t->egress->tenant_count--;
    watch_reap(&t->egress->watches, &t->reap);
}

/* Whether `hash` is among the last ones of its set. The newest comes first. */
static bool tenant_name_seen(const uint64_t *set, uint64_t hash)
{
    for (size_t i = 0; i < TENANT_NAME_WAYS; i++) {
        if (set[i] == hash)
            return true;
    }
    return false;
}

bool tenant_name_allowed(struct tenant *t, const char *name)
{
    uint64_t hash = t->egress->resolver.seed;
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    if (t->names == NULL)
        t->names = calloc(TENANT_NAMES, sizeof(*t->names));
    if (t->names == NULL)
        return false;
    size_t sets = TENANT_NAMES / TENANT_NAME_WAYS;
    uint64_t *set = &t->names[(hash ^ hash >> 32) % sets * TENANT_NAME_WAYS];
    if (tenant_name_seen(set, hash))
        return true;
    uint64_t now = uv_now(&t->egress->loop);
    if (tenant_fill(&t->name_bucket, now, t->policy.limits.names, TENANT_MINUTE_MS) < 1)
        return false;
    t->name_bucket.left--;
    memmove(set + 1, set, (TENANT_NAME_WAYS - 1) * sizeof(*set));
    set[0] = hash;
    return true;
}

size_t tenant_allowance(struct tenant *t, size_t want)
{
    uint64_t rate = t->policy.limits.bytes_per_sec;
    if (rate == 0)
        return want;
    int64_t left = tenant_fill(&t->byte_bucket, uv_now(&t->egress->loop), rate, 1000);
    return left <= 0 ? 0 : MIN(want, (size_t)left);
}

void tenant_moved(struct tenant *t, uint64_t rx, uint64_t tx)
{
    t->bytes.rx += rx;
    t->bytes.tx += tx;
    t->bytes.dirty = true;
    if (t->policy.limits.bytes_per_sec != 0)
        t->byte_bucket.left -= (int64_t)(rx + tx);
    meter_touch(t->egress);
}

void tenant_park(struct tenant *t, struct watch_task *task)
{
    list_del(&task->node);
    list_add_tail(&t->parked, &task->node);
    if (list_empty(&t->park.node))
        watch_deadline_set(&t->egress->park, &t->park);
}

void tenant_on_park(struct watch_deadline *d)
{
    struct tenant *t = container_of(d, struct tenant, park);
    while (!list_empty(&t->parked))
        watch_later(&t->egress->watches, list_first(&t->parked, struct watch_task, node));
}

void tenant_event(struct tenant *t, enum egress_what what, enum egress_reason reason,
                  const char *host, const char *address, uint16_t port)
{
    struct egress *e = t->egress;
    if (reason != EGRESS_OK) {
        e->meter.denials[reason]++;
        meter_touch(e);
    }
    if (t->policy.log == EGRESS_LOG_NONE ||
        (reason == EGRESS_OK && t->policy.log != EGRESS_LOG_ALL))
        return;
    if (tenant_fill(&t->event_bucket, uv_now(&e->loop), TENANT_EVENTS, 1000) < 1)
        return;
    t->event_bucket.left--;
    const struct ctl_event event = {.id = t->id,
                                    .host = host,
                                    .address = address,
                                    .what = what,
                                    .reason = reason,
                                    .port = port};
    ctl_event(e, &event);
}
