/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tenant.h - a sandbox as corral-egress knows it: its listener, its policy, its flows, its limits.
 *
 * Which sandbox a connection belongs to is told by the listener that it came through and by nothing
 * else. Everything that a sandbox can make grow is bounded here:
 *
 *   connections         limits.flows + TENANT_SPARE; more are closed as soon as they are accepted
 *   flows               limits.flows; more are refused (FLOW_R_LIMIT)
 *   names asked for     limits.names new ones a minute; a name is new if it is not among the
 *                       TENANT_NAMES that were seen last
 *   questions at once   TENANT_QUESTIONS
 *   intercepted flows   TENANT_INTERCEPTED; more are refused (FLOW_R_LIMIT)
 *   bytes a second      limits.bytes_per_sec, both ways together; a sandbox that has used them up
 *                       is parked: nothing is read until there are new ones
 *   events              TENANT_EVENTS a second; more are counted, not told
 */
#ifndef CORRAL_EGRESS_TENANT_H
#define CORRAL_EGRESS_TENANT_H

#include "egress/frame.h"
#include "egress/meter.h"
#include "egress/policy.h"
#include "egress/watch.h"

#define TENANT_MAX         4096u /* sandboxes */
#define TENANT_SPARE       64u
#define TENANT_NAMES       1024u
#define TENANT_NAME_WAYS   4u /* of a set; the oldest of a full one is forgotten */
#define TENANT_QUESTIONS   256u
#define TENANT_EVENTS      100u
#define TENANT_RESOLVERS   8u   /* connections that ask for names */
#define TENANT_INTERCEPTED 128u /* flows with TLS that ends here */
#define TENANT_ACCEPTS     64u  /* connections taken before others have their turn */

struct egress;

/* A count that fills up with time. */
struct tenant_bucket {
    uint64_t at_ms;
    int64_t left;
};

struct tenant {
    struct list node; /* in egress->tenants */
    struct egress *egress;
    char id[FRAME_MAX_ID + 1];
    struct watch listener;
    struct watch_task accept_later, reap;
    struct watch_deadline retry, park;
    struct policy policy;
    struct list flows;   /* struct flow */
    struct list parked;  /* struct watch_task of flows */
    struct list shakes;  /* struct intercept with a handshake to be continued */
    struct list shaking; /* in egress->shaking */
    size_t intercepted;
    size_t connections, resolvers, questions;
    uint32_t open; /* flows past their OPEN frame */
    struct meter_bytes bytes;
    struct tenant_bucket byte_bucket, name_bucket, event_bucket;
    uint64_t *names; /* sets of hashes of names seen; made when the first name is asked for */
};

/* Takes the listening socket over. Replaces one of the same id. 0 or a negative errno. */
int tenant_add(struct egress *e, const char *id, int fd);
struct tenant *tenant_find(struct egress *e, const char *id);
/* Takes the policy over and cuts what it denies. */
void tenant_set_policy(struct tenant *t, struct policy *p);
void tenant_drop(struct tenant *t);

/* Whether the name may be asked for now: known, or within the limit of new ones. */
bool tenant_name_allowed(struct tenant *t, const char *name);
/* Bytes that may be moved now; 0: call tenant_park. */
size_t tenant_allowance(struct tenant *t, size_t want);
void tenant_moved(struct tenant *t, uint64_t rx, uint64_t tx);
void tenant_park(struct tenant *t, struct watch_task *task);
/* Counts the denial, and tells the server as the policy's log says. `address` may be "". */
void tenant_event(struct tenant *t, enum egress_what what, enum egress_reason reason,
                  const char *host, const char *address, uint16_t port);

void tenant_on_retry(struct watch_deadline *d);
void tenant_on_park(struct watch_deadline *d);

#endif
