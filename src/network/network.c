/* SPDX-License-Identifier: Apache-2.0 */
#include "network/network.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "core/metrics.h"
#include "network/listener.h"

#define NETWORK_BUCKETS 256u

struct network_drop {
    struct list node;
    char id[PACKET_MAX_ID + 1];
};

struct network {
    struct network_link link;
    struct network_rules allow, deny; /* the operator's */
    const struct ca *ca;
    struct secrets *secrets;
    enum egress_default otherwise;
    bool tell_setup;
    struct list tenants[NETWORK_BUCKETS];
    struct list pending; /* struct network_tenant */
    struct list drops;   /* struct network_drop */
    unsigned int tenant_count, drop_count;
    struct packet_stats last; /* of this process */
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

static void network_started(struct network_link *link);
static void network_pump(struct network_link *link);
static void network_on_packet(struct network_link *link, struct packet *p);
static void network_on_secret(void *ctx, const char *account, const char *name);

static const struct network_link_ops network_link_ops = {
    .started = network_started,
    .writable = network_pump,
    .packet = network_on_packet,
};

/* The metric of each reason to deny. */
static const enum metric network_denials[EGRESS_REASON_COUNT] = {
    [EGRESS_OK] = METRIC_COUNT,
    [EGRESS_BY_SYNTAX] = METRIC_EGRESS_DENIED_SYNTAX,
    [EGRESS_BY_OPERATOR] = METRIC_EGRESS_DENIED_OPERATOR,
    [EGRESS_BY_FLOOR] = METRIC_EGRESS_DENIED_FLOOR,
    [EGRESS_BY_RULE] = METRIC_EGRESS_DENIED_RULE,
    [EGRESS_BY_DEFAULT] = METRIC_EGRESS_DENIED_DEFAULT,
    [EGRESS_BY_PORT] = METRIC_EGRESS_DENIED_PORT,
    [EGRESS_BY_FLOW_LIMIT] = METRIC_EGRESS_DENIED_FLOW_LIMIT,
    [EGRESS_BY_NAME_LIMIT] = METRIC_EGRESS_DENIED_NAME_LIMIT,
    [EGRESS_BY_INTERCEPTION] = METRIC_EGRESS_DENIED_INTERCEPTION,
};

static struct network *network_of(struct network_link *link)
{
    return container_of(link, struct network, link);
}

static void network_free(struct network *n)
{
    network_rules_done(&n->allow);
    network_rules_done(&n->deny);
    free(n);
}

static int network_check_file(const char *file, struct error *err)
{
    if (file[0] == '\0' || access(file, R_OK) == 0)
        return 0;
    return error_set_errno(err, ERROR_INVALID_ARGUMENT, -errno, "Cannot read %s", file);
}

/* The lists are read as corral-egress will read them, so that a fault shows at the start. */
static int network_read_lists(struct network *n, const struct network_options *o, struct error *err)
{
    struct policy_operator op;
    int rv = network_rules_split(o->allow, &n->allow, err);
    if (rv == 0)
        rv = network_rules_split(o->deny, &n->deny, err);
    if (rv == 0)
        rv = policy_operator_read(&op, (const char *const *)n->allow.items,
                                  (const char *const *)n->deny.items, err);
    if (rv == 0)
        policy_operator_done(&op);
    return rv;
}

struct network *network_new(uv_loop_t *loop, const struct network_options *o, struct error *err)
{
    struct network *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        (void)error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    n->otherwise = o->otherwise;
    n->ca = o->ca;
    n->secrets = o->secrets;
    for (size_t i = 0; i < NETWORK_BUCKETS; i++)
        list_init(&n->tenants[i]);
    list_init(&n->pending);
    list_init(&n->drops);
    if (network_read_lists(n, o, err) < 0 || network_check_file(o->ca_file, err) < 0) {
        network_free(n);
        return NULL;
    }
    const struct network_program program = {
        .path = o->program, .ca_file = o->ca_file, .debug = o->debug};
    int rv = network_link_init(&n->link, loop, &program, &network_link_ops);
    if (rv < 0) {
        (void)error_set_errno(err, ERROR_INTERNAL, rv, "corral-egress");
        network_free(n);
        return NULL;
    }
    secrets_watch(n->secrets, network_on_secret, n);
    return n;
}

enum egress_default network_default(const struct network *n)
{
    return n->otherwise;
}

const char *network_certificate(const struct network *n)
{
    return n->ca->cert;
}

static struct list *network_bucket(struct network *n, const char *id)
{
    unsigned int hash = 0;
    for (size_t i = 0; i < 8 && id[i] != '\0'; i++)
        hash = hash * 31 + (unsigned char)id[i];
    return &n->tenants[hash % NETWORK_BUCKETS];
}

static struct network_tenant *network_find(struct network *n, const char *id)
{
    list_for_each (it, network_bucket(n, id)) {
        struct network_tenant *t = list_entry(it, struct network_tenant, by_hash);
        if (strcmp(t->id, id) == 0)
            return t;
    }
    return NULL;
}

static void network_mark(struct network_tenant *t)
{
    list_del(&t->pending);
    list_add_tail(&t->network->pending, &t->pending);
}

static void network_forget_drops(struct network *n)
{
    list_for_each_safe (it, &n->drops) {
        list_del(it);
        free(list_entry(it, struct network_drop, node));
    }
    n->drop_count = 0;
}

/* A new process knows nothing, and has counted nothing. */
static void network_started(struct network_link *link)
{
    struct network *n = network_of(link);
    n->tell_setup = true;
    n->last = (struct packet_stats){0};
    network_forget_drops(n);
    for (size_t i = 0; i < NETWORK_BUCKETS; i++) {
        list_for_each (it, &n->tenants[i]) {
            struct network_tenant *t = list_entry(it, struct network_tenant, by_hash);
            t->tell_sandbox = t->tell_policy = true;
            t->base_rx = t->rx;
            t->base_tx = t->tx;
            t->flows = 0;
            network_mark(t);
        }
    }
}

/* Policies that use the secret are filled in again. */
static void network_on_secret(void *ctx, const char *account, const char *name)
{
    struct network *n = ctx;
    for (size_t i = 0; i < NETWORK_BUCKETS; i++) {
        list_for_each (it, &n->tenants[i]) {
            struct network_tenant *t = list_entry(it, struct network_tenant, by_hash);
            if (strcmp(t->account, account) != 0 ||
                !network_transforms_use(&t->policy.transforms, name))
                continue;
            t->tell_policy = true;
            network_mark(t);
        }
    }
    network_pump(&n->link);
}

/* The packet may hold secrets. */
static int network_send(struct network *n, struct buf *packet, int fd)
{
    int rv = network_link_send(&n->link, packet, fd);
    secret_wipe(packet);
    return rv;
}

static int network_tell_setup(struct network *n)
{
    struct buf b = {0};
    const struct packet_setup setup = {.otherwise = n->otherwise,
                                       .allow = n->allow.items,
                                       .deny = n->deny.items,
                                       .ca_cert = n->ca->cert,
                                       .ca_key = n->ca->key};
    packet_put_setup(&b, &setup);
    int rv = network_send(n, &b, -1);
    n->tell_setup = rv < 0;
    return rv;
}

static int network_tell_drop(struct network *n)
{
    struct buf b = {0};
    struct network_drop *d = list_first(&n->drops, struct network_drop, node);
    packet_put_drop(&b, d->id);
    int rv = network_send(n, &b, -1);
    if (rv < 0)
        return rv;
    list_del(&d->node);
    free(d);
    n->drop_count--;
    return 0;
}

static int network_tell_tenant(struct network *n)
{
    struct network_tenant *t = list_first(&n->pending, struct network_tenant, pending);
    struct buf b = {0};
    if (t->tell_sandbox) {
        packet_put_sandbox(&b, t->id);
        int rv = network_send(n, &b, t->listener);
        if (rv < 0)
            return rv;
        t->tell_sandbox = false;
    }
    if (t->tell_policy) {
        packet_put_policy(&b, t->id, &t->policy, n->otherwise, n->secrets, t->account);
        int rv = network_send(n, &b, -1);
        if (rv < 0)
            return rv;
        t->tell_policy = false;
    }
    list_del(&t->pending);
    return 0;
}

static void network_pump(struct network_link *link)
{
    struct network *n = network_of(link);
    int rv = 0;
    if (link->state != LINK_STARTING && link->state != LINK_UP)
        return;
    if (n->tell_setup)
        rv = network_tell_setup(n);
    while (rv == 0 && !list_empty(&n->drops))
        rv = network_tell_drop(n);
    while (rv == 0 && !list_empty(&n->pending))
        rv = network_tell_tenant(n);
}

static void network_on_event(struct network_tenant *t, struct packet_event *e)
{
    char quoted[300];
    log_debug("sandbox network", "sandbox=%s event=%s host=%s address=%s port=%u reason=%s", t->id,
              network_what_str(e->what), log_quote(quoted, sizeof(quoted), e->host), e->address,
              e->port, network_reason_str(e->reason));
    network_events_add(&t->events, e);
}

/* Counters only grow: a smaller one would be a lie. */
static uint64_t network_count(enum metric m, uint64_t *last, uint64_t now)
{
    uint64_t more = now - MIN(*last, now);
    *last = MAX(*last, now);
    metrics_add(m, (int64_t)more);
    return more;
}

static void network_on_meter(struct network_tenant *t, const struct packet_meter *m)
{
    (void)network_count(METRIC_EGRESS_RX, &t->rx, t->base_rx + m->rx);
    (void)network_count(METRIC_EGRESS_TX, &t->tx, t->base_tx + m->tx);
    t->flows = m->flows;
}

static void network_on_stats(struct network *n, const struct packet_stats *s)
{
    struct packet_stats *last = &n->last;
    (void)network_count(METRIC_EGRESS_FLOWS, &last->flows, s->flows);
    (void)network_count(METRIC_EGRESS_LOOKUPS, &last->lookups, s->lookups);
    (void)network_count(METRIC_EGRESS_LOOKUP_US, &last->lookup_us, s->lookup_us);
    metrics_set(METRIC_EGRESS_OPEN, s->open);
    for (size_t i = EGRESS_OK + 1; i < EGRESS_REASON_COUNT; i++)
        (void)network_count(network_denials[i], &last->denials[i], s->denials[i]);
}

/* What it says of a sandbox that has ended comes too late. */
static void network_on_packet(struct network_link *link, struct packet *p)
{
    struct network *n = network_of(link);
    if (p->type == EGRESS_STATS) {
        network_on_stats(n, &p->stats);
        return;
    }
    struct network_tenant *t = network_find(n, p->id);
    if (t == NULL)
        return;
    if (p->type == EGRESS_EVENT)
        network_on_event(t, &p->event);
    else
        network_on_meter(t, &p->meter);
}

int network_attach(struct network *n, struct network_tenant *t, const char *dir, const char *name,
                   struct network_policy *policy)
{
    int fd = n->tenant_count < NETWORK_TENANTS_MAX ? network_listen(dir, name) : -ENOSPC;
    if (fd < 0) {
        network_policy_done(policy);
        return fd;
    }
    t->network = n;
    t->listener = fd;
    t->policy = *policy;
    network_policy_init(policy);
    t->base_rx = t->rx;
    t->base_tx = t->tx;
    t->tell_sandbox = t->tell_policy = true;
    list_init(&t->pending);
    list_add_tail(network_bucket(n, t->id), &t->by_hash);
    n->tenant_count++;
    network_mark(t);
    network_pump(&n->link);
    return 0;
}

void network_set_policy(struct network_tenant *t, struct network_policy *policy)
{
    if (t->network == NULL) {
        network_policy_done(policy);
        return;
    }
    network_policy_done(&t->policy);
    t->policy = *policy;
    network_policy_init(policy);
    t->tell_policy = true;
    network_mark(t);
    network_pump(&t->network->link);
}

/* With too many to tell, or without memory for one more, a new process is the shorter way. */
static void network_add_drop(struct network *n, const char *id)
{
    struct network_drop *d = n->drop_count < NETWORK_DROPS_MAX ? malloc(sizeof(*d)) : NULL;
    if (d == NULL) {
        network_link_restart(&n->link, "it does not read");
        return;
    }
    (void)strncpy(d->id, id, PACKET_MAX_ID);
    d->id[PACKET_MAX_ID] = '\0';
    list_add_tail(&n->drops, &d->node);
    n->drop_count++;
}

void network_detach(struct network_tenant *t)
{
    struct network *n = t->network;
    if (n == NULL)
        return;
    t->network = NULL;
    n->tenant_count--;
    list_del(&t->by_hash);
    list_del(&t->pending);
    (void)close(t->listener);
    network_policy_done(&t->policy);
    t->flows = 0;
    if (!t->tell_sandbox)
        network_add_drop(n, t->id);
    network_pump(&n->link);
}

void network_tenant_done(struct network_tenant *t)
{
    network_detach(t);
    network_events_done(&t->events);
}

static void network_on_stopped(struct network_link *link)
{
    struct network *n = network_of(link);
    network_forget_drops(n);
    n->stopped(n->stopped_ctx);
}

void network_stop(struct network *n, void (*stopped)(void *ctx), void *ctx)
{
    n->stopped = stopped;
    n->stopped_ctx = ctx;
    network_link_stop(&n->link, network_on_stopped);
}
