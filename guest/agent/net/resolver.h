/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.h - the sandbox's name server: answers from the table of names, and asks corral-egress
 * whether a name exists that is not known to.
 *
 * No address ever comes from outside. A query holds a place until it is answered; without one, or
 * after RESOLVER_WAIT_MS without a host, the answer is SERVFAIL.
 */
#ifndef CORRAL_AGENT_NET_RESOLVER_H
#define CORRAL_AGENT_NET_RESOLVER_H

#include "agent/net/dns.h"
#include "agent/net/host.h"
#include "agent/net/names.h"
#include "agent/net/poll.h"
#include "base/wire_codec.h"
#include "flow.h"

#define RESOLVER_WAIT_MS      5000u
#define RESOLVER_RECONNECT_MS 200u
#define RESOLVER_QUESTIONS    256u
#define RESOLVER_WAITERS      512u
#define RESOLVER_FRESH_MS     60000u

/* Where an answer goes: a UDP packet, or a connection of dnstcp.h. */
struct resolver_origin {
    uint32_t src, dst;
    uint16_t sport, dport;
    struct dnstcp_conn *conn; /* NULL: UDP */
    uint32_t serial;          /* of its use */
};

/* A name that the host is asked about. */
struct resolver_question {
    struct list node; /* oldest first */
    uint32_t id;      /* 0: not in use */
    bool sent;        /* on this connection; at most FLOW_MAX_QUERIES are */
    uint64_t asked_at;
    char name[NAMES_LEN + 1];
};

struct resolver_waiter {
    uint32_t question; /* its id; 0: not in use */
    struct resolver_origin origin;
    struct dns_query query;
};

struct resolver {
    struct poll *poll;
    struct names *names;
    const struct host *host;
    void (*answer)(struct resolver *r, const struct resolver_origin *to, const uint8_t *message,
                   size_t len);
    struct poll_source conn;
    bool connected;
    struct poll_timer timer; /* the oldest question's end, or the next attempt to connect */
    struct wire_reader reader;
    struct buf out;
    struct list asked;
    uint32_t next_id;
    unsigned int under_way; /* with the host, failed ones among them */
    struct resolver_question questions[RESOLVER_QUESTIONS];
    struct resolver_waiter waiters[RESOLVER_WAITERS];
};

void resolver_init(struct resolver *r);
void resolver_done(struct resolver *r);
/* A message that came to port 53. Answers now or later, through `answer`, or never. */
void resolver_ask(struct resolver *r, const uint8_t *message, size_t len,
                  const struct resolver_origin *from);

/* resolver_host.c: has the host be asked. False without room. */
bool resolver_question(struct resolver *r, const struct dns_query *q,
                       const struct resolver_origin *from);
/* resolver.c: what the host has said, enum flow_verdict. */
void resolver_conclude(struct resolver *r, struct resolver_question *question, uint32_t verdict,
                       uint32_t seconds);
void resolver_host_init(struct resolver *r);
void resolver_host_done(struct resolver *r);

#endif
