/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.h - the addresses of a name, by c-ares.
 *
 * The happy path is: resolver_ask finds the name in the cache and returns 1; or it asks the name
 * servers for A and AAAA, returns 0, and `done` is called once.
 * Possible failure modes are: too many names are asked for at once (-EBUSY); no name server answers
 * in time (RESOLVE_FAILED). The waiter gives up with resolver_cancel, and the answer still goes to
 * the cache.
 *
 * Only name servers are asked: no hosts file, no search list, no names of this host. Several
 * waiters for one name share one question. The cache keeps RESOLVE_MAX_NAMES names with
 * RESOLVE_MAX_ADDRESSES addresses each, which bounds its bytes as well, for the time that the
 * answer allows, within [RESOLVE_MIN_TTL, RESOLVE_MAX_TTL]. That nobody connects to an address that
 * was not checked does not depend on the cache: each flow checks what it connects to.
 *
 * A name server that comes back is found by the next question. When questions fail and
 * /etc/resolv.conf has changed since it was read, it is read again.
 */
#ifndef CORRAL_EGRESS_RESOLVE_H
#define CORRAL_EGRESS_RESOLVE_H

#include <uv.h>

#include "base/list.h"
#include "egress/address.h"
#include "egress/name.h"

#define RESOLVE_MAX_NAMES     4096u
#define RESOLVE_MAX_ADDRESSES 8u
#define RESOLVE_MAX_PENDING   2048u /* questions under way; the caller bounds each sandbox's */
#define RESOLVE_MIN_TTL       1u
#define RESOLVE_MAX_TTL       300u
#define RESOLVE_ABSENT_TTL    10u /* for a name that does not exist */
#define RESOLVE_TRY_MS        2000
#define RESOLVE_TRIES         2
#define RESOLVE_BUCKETS       1024u

enum resolve_status { RESOLVE_OK, RESOLVE_NXDOMAIN, RESOLVE_EMPTY, RESOLVE_FAILED };

struct resolve_answer {
    enum resolve_status status;
    uint32_t ttl; /* seconds that are left */
    size_t count;
    struct address addresses[RESOLVE_MAX_ADDRESSES]; /* IPv4 first */
};

/* Embedded in its owner; off its list when `done` is called. */
struct resolve_wait {
    struct list node;
    void (*done)(struct resolve_wait *w, const struct resolve_answer *answer);
};

struct resolver {
    uv_loop_t *loop;
    void *channel;       /* ares_channel */
    const char *servers; /* "ADDRESS:PORT", or NULL: resolv.conf's; owned by the caller */
    int64_t conf_time;   /* of the resolv.conf that was read */
    uv_timer_t timer;
    bool reload;         /* the timer shall read resolv.conf again */
    struct list sockets; /* struct resolve_socket */
    struct list buckets[RESOLVE_BUCKETS];
    struct list by_age; /* of finished entries, the oldest first */
    size_t count, pending;
    uint64_t seed;
    uint64_t lookups, lookup_us; /* since the start; finished ones */
};

/* `servers` is for tests. */
int resolver_init(struct resolver *r, uv_loop_t *loop, const char *servers);
/* 1 and the answer, which is valid until the caller returns to the loop; 0 and `w` waits; or
 * -EBUSY or -ENOMEM. `done` is never called from inside. */
int resolver_ask(struct resolver *r, const char *name, struct resolve_wait *w,
                 const struct resolve_answer **ret);
static inline void resolver_cancel(struct resolve_wait *w)
{
    list_del(&w->node);
}

#endif
