/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/query.h"

#include <errno.h>
#include <string.h>

#include "egress/egress.h"
#include "egress/own.h"
#include "egress/tenant.h"

#define QUERY_READ    4096 /* bytes taken at once */
#define QUERY_NOT_NOW 1u   /* seconds that a verdict may be kept which a new policy can change */

/* A question under way. */
struct query {
    struct list node; /* in flow->queries */
    struct resolve_wait wait;
    struct flow *flow;
    uint32_t id;
    char name[NAME_SIZE];
};

static void query_reply(struct flow *f, uint32_t id, enum flow_verdict verdict, uint32_t ttl)
{
    struct buf b = {0};
    size_t start = wire_begin(&b, (enum wire_type)FLOW_RESOLVED);
    (void)buf_u32(&b, id);
    (void)buf_u32(&b, verdict);
    (void)buf_u32(&b, ttl);
    wire_end(&b, start);
    if (b.failed || flow_send_down(f, b.data, b.len) < 0)
        f->down.ended = f->down.readable = true;
    buf_done(&b);
}

/* Whether one of the addresses may be connected to; the reason of the first otherwise. */
static enum egress_reason query_judge(struct tenant *t, const char *name,
                                      const struct resolve_answer *a, char text[ADDRESS_TEXT])
{
    enum egress_reason first = EGRESS_OK;
    for (size_t i = 0; i < a->count; i++) {
        const struct rule_target target = {.name = name, .address = &a->addresses[i]};
        bool own = own_address(&a->addresses[i]);
        enum egress_reason why = policy_check(&t->egress->policy, &t->policy, &target, own);
        if (why == EGRESS_OK)
            return EGRESS_OK;
        if (first == EGRESS_OK) {
            first = why;
            (void)address_print(&a->addresses[i], text);
        }
    }
    return first;
}

static void query_answer(struct flow *f, uint32_t id, const char *name,
                         const struct resolve_answer *a)
{
    static const enum flow_verdict verdicts[] = {
        [RESOLVE_OK] = FLOW_V_EXISTS,
        [RESOLVE_NXDOMAIN] = FLOW_V_NXDOMAIN,
        [RESOLVE_EMPTY] = FLOW_V_EMPTY,
        [RESOLVE_FAILED] = FLOW_V_FAILED,
    };
    struct tenant *t = f->tenant;
    char text[ADDRESS_TEXT] = "";
    enum egress_reason why = policy_may_resolve(&t->egress->policy, &t->policy, name);
    if (why == EGRESS_OK)
        why = query_judge(t, name, a, text);
    if (why != EGRESS_OK) {
        tenant_event(t, EGRESS_NAME_DENIED, why, name, text, 0);
        query_reply(f, id, FLOW_V_DENIED, QUERY_NOT_NOW);
        return;
    }
    query_reply(f, id, verdicts[a->status], a->ttl);
}

static void query_free(struct query *q)
{
    resolver_cancel(&q->wait);
    list_del(&q->node);
    q->flow->query_count--;
    q->flow->tenant->questions--;
    free(q);
}

static void query_on_answer(struct resolve_wait *w, const struct resolve_answer *answer)
{
    struct query *q = container_of(w, struct query, wait);
    struct flow *f = q->flow;
    query_answer(f, q->id, q->name, answer);
    query_free(q);
    watch_later(&f->tenant->egress->watches, &f->task);
}

static void query_deny(struct flow *f, const struct frame_first *q, enum egress_reason why)
{
    cleanup_free char *text = flow_host_text(q->host);
    if (text != NULL)
        tenant_event(f->tenant, EGRESS_NAME_DENIED, why, text, "", 0);
    query_reply(f, q->id, why == EGRESS_BY_NAME_LIMIT ? FLOW_V_LIMIT : FLOW_V_DENIED,
                QUERY_NOT_NOW);
}

static void query_ask(struct flow *f, const struct frame_first *first)
{
    struct tenant *t = f->tenant;
    const struct resolve_answer *answer;
    struct query *q = calloc(1, sizeof(*q));
    if (q == NULL || name_read(first->host.data, first->host.len, q->name) < 0) {
        query_deny(f, first, EGRESS_BY_SYNTAX);
        free(q);
        return;
    }
    enum egress_reason why = policy_may_resolve(&t->egress->policy, &t->policy, q->name);
    if (why == EGRESS_OK && (t->questions >= TENANT_QUESTIONS || !tenant_name_allowed(t, q->name)))
        why = EGRESS_BY_NAME_LIMIT;
    if (why != EGRESS_OK) {
        query_deny(f, first, why);
        free(q);
        return;
    }
    q->flow = f;
    q->id = first->id;
    q->wait.done = query_on_answer;
    list_init(&q->wait.node);
    int rv = resolver_ask(&t->egress->resolver, q->name, &q->wait, &answer);
    if (rv == 0) {
        list_add_tail(&f->queries, &q->node);
        f->query_count++;
        t->questions++;
        return;
    }
    if (rv == 1)
        query_answer(f, q->id, q->name, answer);
    else
        query_reply(f, q->id, FLOW_V_FAILED, QUERY_NOT_NOW);
    free(q);
}

/* Takes whole questions out of what was read. -EPROTO for anything else. */
static int query_take(struct flow *f)
{
    while (f->query_count < FLOW_MAX_QUERIES && flow_rest_len(&f->to_down) == 0) {
        struct frame_first first;
        struct span have = {(const char *)f->from_down.data + f->from_down.at,
                            flow_rest_len(&f->from_down)};
        int used = have.len > 0 ? frame_first_read(have, &first) : 0;
        if (used < 0 || (used > 0 && first.type != FLOW_RESOLVE))
            return -EPROTO;
        if (used == 0)
            return 0;
        query_ask(f, &first);
        flow_rest_take(&f->from_down, (size_t)used);
    }
    return 0;
}

/* 1 when bytes were read, 0 when there are none, or a negative errno: the connection is over. */
static int query_read(struct flow *f)
{
    uint8_t bytes[QUERY_READ];
    if (!f->down.readable)
        return 0;
    ssize_t n = recv(f->down.watch.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        f->down.readable = false;
        return 0;
    }
    if (n <= 0)
        return -EPIPE;
    return flow_rest_add(&f->from_down, bytes, (size_t)n) < 0 ? -ENOMEM : 1;
}

void query_run(struct flow *f)
{
    for (unsigned int turns = 0;; turns++) {
        if (turns == FLOW_MAX_QUERIES) {
            watch_later(&f->tenant->egress->watches, &f->task);
            return;
        }
        int rv = flow_flush_down(f) ? query_take(f) : 0;
        if (rv == 0) {
            bool full = f->query_count >= FLOW_MAX_QUERIES || flow_rest_len(&f->to_down) > 0;
            if (full && !f->down.ended)
                return;
            rv = full ? -EPIPE : query_read(f);
        }
        if (rv < 0)
            flow_close(f);
        if (rv <= 0)
            return;
    }
}

void query_open(struct flow *f)
{
    if (f->tenant->resolvers >= TENANT_RESOLVERS) {
        f->state = FLOW_CLOSING;
        flow_close(f);
        return;
    }
    f->tenant->resolvers++;
    query_run(f);
}

void query_close(struct flow *f)
{
    f->tenant->resolvers--;
    list_for_each_safe (it, &f->queries)
        query_free(list_entry(it, struct query, node));
}
