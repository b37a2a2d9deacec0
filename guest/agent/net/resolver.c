/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.c - what is answered to which question.
 *
 * A: the name's address of the pool, once the host has said that it exists; that is believed for
 * RESOLVER_FRESH_MS at most. Every other type: no error and no data, once the name exists. A name
 * that does not exist or is denied is NXDOMAIN: REFUSED would make some C libraries wait and all of
 * them call it temporary. SERVFAIL is for a host that failed.
 *
 * Answered without the host: localhost, the sandbox's own name, reverse names, and names that no
 * name server could know.
 */
#include "agent/net/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/netdev.h"

#define REVERSE_ZONE  ".in-addr.arpa"
#define REVERSE6_ZONE ".ip6.arpa"

static void reply_to(struct resolver *r, const struct dns_query *q,
                     const struct resolver_origin *to, const struct dns_reply *reply)
{
    uint8_t out[DNS_ANSWER_MAX];
    r->answer(r, to, out, dns_write(q, reply, out));
}

static void reply_code(struct resolver *r, const struct dns_query *q,
                       const struct resolver_origin *to, enum dns_rcode rcode)
{
    reply_to(r, q, to, &(struct dns_reply){.rcode = rcode});
}

static void reply_address(struct resolver *r, const struct dns_query *q,
                          const struct resolver_origin *to, uint32_t address)
{
    bool wanted = q->type == DNS_A || q->type == DNS_ANY;
    reply_to(r, q, to, &(struct dns_reply){.has_a = wanted, .a = address});
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static bool is_own_name(const char *name)
{
    char host[NAMES_LEN + 1];
    if (gethostname(host, sizeof(host)) < 0)
        return false;
    host[NAMES_LEN] = '\0';
    return strcasecmp(host, name) == 0;
}

static void reply_reverse(struct resolver *r, const struct dns_query *q,
                          const struct resolver_origin *to, uint32_t address)
{
    char host[NAMES_LEN + 1];
    const struct name *name = names_at(r->names, address, poll_now());
    const char *text = name != NULL ? name->text : NULL;
    if (address == NETDEV_ADDRESS && gethostname(host, sizeof(host)) == 0) {
        host[NAMES_LEN] = '\0';
        text = names_is_valid(host) ? host : NULL;
    }
    if (address == INADDR_LOOPBACK)
        text = "localhost";
    if (text == NULL) {
        reply_code(r, q, to, DNS_NXDOMAIN);
        return;
    }
    bool wanted = q->type == DNS_PTR || q->type == DNS_ANY;
    reply_to(r, q, to, &(struct dns_reply){.host = wanted ? text : NULL});
}

/* True when the question is answered. */
static bool answer_locally(struct resolver *r, const struct dns_query *q,
                           const struct resolver_origin *to)
{
    uint32_t address;
    if (strcmp(q->name, "localhost") == 0 || ends_with(q->name, ".localhost")) {
        if (q->type == DNS_AAAA)
            reply_to(r, q, to, &(struct dns_reply){.loopback6 = true});
        else
            reply_address(r, q, to, INADDR_LOOPBACK);
    } else if (is_own_name(q->name)) {
        reply_address(r, q, to, NETDEV_ADDRESS);
    } else if (dns_reverse_address(q->name, &address)) {
        reply_reverse(r, q, to, address);
    } else if (q->name[0] == '\0') {
        reply_code(r, q, to, DNS_NOERROR);
    } else if (ends_with(q->name, REVERSE_ZONE) || ends_with(q->name, REVERSE6_ZONE) ||
               !names_is_valid(q->name)) {
        reply_code(r, q, to, DNS_NXDOMAIN);
    } else {
        return false;
    }
    return true;
}

void resolver_ask(struct resolver *r, const uint8_t *message, size_t len,
                  const struct resolver_origin *from)
{
    struct dns_query q;
    uint64_t now = poll_now();
    int rv = dns_parse(&q, message, len);
    if (rv == -EBADMSG)
        return;
    if (rv != 0) {
        reply_code(r, &q, from, (enum dns_rcode)rv);
        return;
    }
    if (answer_locally(r, &q, from))
        return;
    const struct name *name = names_find(r->names, q.name, now);
    if (name != NULL && now < name->fresh_until)
        reply_address(r, &q, from, name->address);
    else if (!resolver_question(r, &q, from))
        reply_code(r, &q, from, DNS_SERVFAIL);
}

static void reply_verdict(struct resolver *r, const struct resolver_waiter *w, uint32_t verdict,
                          const struct name *name)
{
    switch (verdict) {
    case FLOW_V_EXISTS:
        if (name != NULL)
            reply_address(r, &w->query, &w->origin, name->address);
        else
            reply_code(r, &w->query, &w->origin, DNS_SERVFAIL);
        break;
    case FLOW_V_EMPTY:
        reply_code(r, &w->query, &w->origin, DNS_NOERROR);
        break;
    case FLOW_V_NXDOMAIN:
    case FLOW_V_DENIED:
        reply_to(r, &w->query, &w->origin,
                 &(struct dns_reply){.rcode = DNS_NXDOMAIN, .blocked = verdict == FLOW_V_DENIED});
        break;
    default:
        reply_code(r, &w->query, &w->origin, DNS_SERVFAIL);
        break;
    }
}

void resolver_conclude(struct resolver *r, struct resolver_question *question, uint32_t verdict,
                       uint32_t seconds)
{
    uint64_t now = poll_now();
    struct name *name = NULL;
    if (verdict == FLOW_V_EXISTS)
        name = names_add(r->names, question->name, now);
    if (name != NULL)
        name->fresh_until = now + MIN((uint64_t)seconds * 1000u, RESOLVER_FRESH_MS);
    uint32_t id = question->id;
    question->id = 0;
    list_del(&question->node);
    for (size_t i = 0; i < RESOLVER_WAITERS; i++) {
        struct resolver_waiter *w = &r->waiters[i];
        if (w->question != id)
            continue;
        w->question = 0;
        reply_verdict(r, w, verdict, name);
    }
}

void resolver_init(struct resolver *r)
{
    list_init(&r->asked);
    for (size_t i = 0; i < RESOLVER_QUESTIONS; i++)
        list_init(&r->questions[i].node);
    resolver_host_init(r);
}

void resolver_done(struct resolver *r)
{
    resolver_host_done(r);
}
