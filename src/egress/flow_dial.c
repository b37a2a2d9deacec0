/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_dial.c - from the host that a sandbox asks for to a connected socket.
 *
 * The happy path is: OPEN, the name is judged, resolved, its first allowed address is connected to,
 * OPENED. Possible failure modes are: the text is no host; policy denies the name, or each of its
 * addresses; a limit is reached; the name does not resolve; no allowed address answers. Each ends
 * in one REFUSED, and a denial in one event.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "egress/egress.h"
#include "egress/flow_conn.h"
#include "egress/intercept.h"
#include "egress/own.h"
#include "egress/relay.h"
#include "egress/tenant.h"

static void flow_dial_next(struct flow *f);

void flow_dial_drop(struct flow *f)
{
    if (f->dial == NULL)
        return;
    if (f->state == FLOW_RESOLVING)
        f->tenant->questions--;
    resolver_cancel(&f->dial->wait);
    free(TAKE_PTR(f->dial));
}

void flow_refuse(struct flow *f, enum flow_refusal refusal)
{
    uint8_t frame[WIRE_HEADER_SIZE + 4] = {0};
    frame_head(frame, FLOW_REFUSED, 4);
    frame[WIRE_HEADER_SIZE] = (uint8_t)refusal;
    (void)flow_send_down(f, frame, sizeof(frame));
    flow_close(f);
}

static void flow_deny(struct flow *f, enum egress_reason why, const char *address)
{
    tenant_event(f->tenant, EGRESS_FLOW_DENIED, why, f->host, address, f->port);
    bool limit = why == EGRESS_BY_FLOW_LIMIT || why == EGRESS_BY_NAME_LIMIT;
    flow_refuse(f, limit ? FLOW_R_LIMIT : FLOW_R_DENIED);
}

char *flow_host_text(struct span host)
{
    size_t len = MIN(host.len, (size_t)FLOW_MAX_NAME + 1);
    char *text = malloc(len + 1);
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++)
        text[i] = host.data[i] > ' ' && host.data[i] < 0x7f ? host.data[i] : '?';
    text[len] = '\0';
    return text;
}

static enum flow_refusal flow_refusal_of(int errnum)
{
    switch (errnum) {
    case ECONNREFUSED:
        return FLOW_R_REFUSED;
    case ENETUNREACH:
        return FLOW_R_NET;
    case ETIMEDOUT:
        return FLOW_R_TIMED_OUT;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case EACCES:
    case EPERM:
    case EADDRNOTAVAIL:
        return FLOW_R_HOST;
    default:
        return FLOW_R_UNAVAILABLE;
    }
}

/* The answer of a host says more than that there was no way to another. */
static void flow_dial_failed(struct flow *f, int errnum)
{
    struct flow_dial *d = f->dial;
    if (f->up.watch.fd >= 0)
        f->tenant->egress->fds--;
    watch_close(&f->up.watch);
    if (d->refusal == 0 || d->refusal == FLOW_R_NET)
        d->refusal = flow_refusal_of(errnum);
}

static int flow_socket(const struct flow *f)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1}, /* the sandbox's kernel has gathered what belongs together */
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, FLOW_KEEP_IDLE},
        {IPPROTO_TCP, TCP_KEEPINTVL, FLOW_KEEP_NEXT},
        {IPPROTO_TCP, TCP_KEEPCNT, FLOW_KEEP_COUNT},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, FLOW_NOTSENT},
        /* Without it the kernel lets the window grow to megabytes, which a stalled flow holds. */
        {SOL_SOCKET, SO_RCVBUF, FLOW_RCVBUF},
    };
    int fd = socket(f->address.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    IPPROTO_TCP);
    for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
    return fd;
}

/* 0 when the connection is under way, or a negative errno. */
static int flow_connect(struct flow *f)
{
    struct egress *e = f->tenant->egress;
    struct sockaddr_storage to;
    socklen_t len = address_sockaddr(&f->address, f->port, &to);
    cleanup_close int fd = flow_socket(f);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
        return -errno;
    f->up.readable = f->up.writable = f->up.ended = false;
    int rv = watch_add(&e->watches, &f->up.watch, TAKE_FD(fd));
    if (rv < 0)
        return rv;
    e->fds++;
    watch_deadline_set(&e->connect, &f->deadline);
    return 0;
}

static enum egress_reason flow_judge_address(struct flow *f)
{
    struct tenant *t = f->tenant;
    const struct rule_target target = {
        .name = f->name != NULL ? f->name : "", .address = &f->address, .port = f->port};
    f->own = own_address(&f->address);
    return policy_check(&t->egress->policy, &t->policy, &target, f->own);
}

static void flow_dial_next(struct flow *f)
{
    struct flow_dial *d = f->dial;
    f->state = FLOW_CONNECTING;
    while (d->next < d->count && uv_now(&f->tenant->egress->loop) < d->until_ms) {
        f->address = d->addresses[d->next++];
        enum egress_reason why = flow_judge_address(f);
        if (why != EGRESS_OK) {
            if (d->denied == EGRESS_OK) {
                d->denied = why;
                (void)address_print(&f->address, d->denied_text);
            }
            continue;
        }
        int rv = flow_connect(f);
        if (rv == 0)
            return;
        flow_dial_failed(f, -rv);
    }
    if (d->refusal == 0 && d->denied == EGRESS_OK)
        d->refusal = FLOW_R_TIMED_OUT; /* the process stood still meanwhile */
    if (d->refusal != 0)
        flow_refuse(f, d->refusal);
    else
        flow_deny(f, (enum egress_reason)d->denied, d->denied_text);
}

void flow_dial_event(struct flow *f)
{
    struct tenant *t = f->tenant;
    char text[ADDRESS_TEXT];
    int error = 0;
    socklen_t len = sizeof(error);
    if (!f->up.writable && !f->up.ended)
        return;
    (void)getsockopt(f->up.watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        flow_dial_failed(f, error);
        flow_dial_next(f);
        return;
    }
    watch_deadline_clear(&f->deadline);
    flow_dial_drop(f);
    f->state = FLOW_RELAYING;
    if (flow_send_head(f, FLOW_OPENED) < 0) {
        flow_cut(f);
        return;
    }
    tenant_event(t, EGRESS_FLOW_OPENED, EGRESS_OK, f->host, address_print(&f->address, text),
                 f->port);
    if (intercept_wanted(f))
        intercept_start(f);
    else
        relay_run(f);
}

void flow_dial_late(struct flow *f)
{
    if (f->state == FLOW_RESOLVING) {
        flow_refuse(f, FLOW_R_UNAVAILABLE);
        return;
    }
    flow_dial_failed(f, ETIMEDOUT);
    flow_dial_next(f);
}

static void flow_dial_resolved(struct flow *f, const struct resolve_answer *a)
{
    struct flow_dial *d = f->dial;
    struct tenant *t = f->tenant;
    /* The policy may have changed meanwhile. */
    enum egress_reason why = policy_may_resolve(&t->egress->policy, &t->policy, f->name);
    if (why != EGRESS_OK) {
        flow_deny(f, why, "");
    } else if (a->status == RESOLVE_OK) {
        memcpy(d->addresses, a->addresses, sizeof(d->addresses));
        d->count = a->count;
        flow_dial_next(f);
    } else {
        flow_refuse(f, a->status == RESOLVE_FAILED ? FLOW_R_UNAVAILABLE : FLOW_R_NAME);
    }
}

static void flow_on_answer(struct resolve_wait *w, const struct resolve_answer *answer)
{
    struct flow *f = container_of(w, struct flow_dial, wait)->flow;
    f->tenant->questions--;
    f->state = FLOW_CONNECTING; /* the question is no longer counted */
    watch_deadline_clear(&f->deadline);
    flow_dial_resolved(f, answer);
}

static void flow_dial_name(struct flow *f)
{
    struct tenant *t = f->tenant;
    const struct resolve_answer *answer;
    enum egress_reason why = policy_may_resolve(&t->egress->policy, &t->policy, f->name);
    if (why == EGRESS_OK && (t->questions >= TENANT_QUESTIONS || !tenant_name_allowed(t, f->name)))
        why = EGRESS_BY_NAME_LIMIT;
    if (why != EGRESS_OK) {
        flow_deny(f, why, "");
        return;
    }
    int rv = resolver_ask(&t->egress->resolver, f->name, &f->dial->wait, &answer);
    if (rv < 0) {
        flow_refuse(f, FLOW_R_UNAVAILABLE);
    } else if (rv == 1) {
        flow_dial_resolved(f, answer);
    } else {
        f->state = FLOW_RESOLVING;
        t->questions++;
        watch_deadline_set(&t->egress->resolve, &f->deadline);
    }
}

/* 0 and the name or the address of the flow; -EINVAL when it is neither, or -ENOMEM. */
static int flow_dial_read(struct flow *f, struct span host)
{
    char name[NAME_SIZE];
    f->host = flow_host_text(host);
    if (f->host == NULL)
        return -ENOMEM;
    if (name_read(host.data, host.len, name) == 0) {
        f->name = strdup(name);
        return f->name == NULL ? -ENOMEM : 0;
    }
    if (memchr(host.data, '\0', host.len) != NULL || host.len > FLOW_MAX_NAME)
        return -EINVAL;
    f->dial->count = 1;
    return address_read_loose(f->host, &f->dial->addresses[0]);
}

void flow_dial_open(struct flow *f, const struct frame_first *first)
{
    struct tenant *t = f->tenant;
    f->port = first->port;
    f->dial = calloc(1, sizeof(*f->dial));
    int rv = f->dial != NULL ? flow_dial_read(f, first->host) : -ENOMEM;
    if (rv == -ENOMEM) {
        flow_close(f);
        return;
    }
    list_init(&f->dial->wait.node);
    f->dial->wait.done = flow_on_answer;
    f->dial->flow = f;
    f->dial->until_ms = uv_now(&t->egress->loop) + EGRESS_DIAL_MS;
    if (rv < 0 || f->port == 0) {
        flow_deny(f, EGRESS_BY_SYNTAX, "");
        return;
    }
    /* A sandbox without a policy is denied everything, and says so rather than naming a limit. */
    if (t->open >= t->policy.limits.flows && t->policy.log != 0) {
        flow_deny(f, EGRESS_BY_FLOW_LIMIT, "");
        return;
    }
    enum egress_reason why = intercept_may(f);
    if (why != EGRESS_OK) {
        flow_deny(f, why, "");
        return;
    }
    f->counted = true;
    t->open++;
    t->egress->meter.open++;
    t->egress->meter.flows++;
    t->bytes.dirty = true;
    meter_touch(t->egress);
    if (f->name != NULL)
        flow_dial_name(f);
    else
        flow_dial_next(f);
}
