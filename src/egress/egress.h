/* SPDX-License-Identifier: Apache-2.0 */
/* egress.h - what the whole process shares. */
#ifndef CORRAL_EGRESS_EGRESS_H
#define CORRAL_EGRESS_EGRESS_H

#include "egress/ctl.h"
#include "egress/meter.h"
#include "egress/policy.h"
#include "egress/resolve.h"
#include "egress/session.h"
#include "egress/watch.h"

#define EGRESS_OPEN_MS    5000  /* for the first frame of a connection */
#define EGRESS_RESOLVE_MS 10000 /* for the addresses of a name */
#define EGRESS_CONNECT_MS 10000 /* for one address to answer */
#define EGRESS_DIAL_MS    30000 /* for all addresses of a name together */
#define EGRESS_FLUSH_MS   5000  /* for the sandbox to take the last bytes */
#define EGRESS_RETRY_MS   100 /* after the kernel had no memory or no descriptor for a connection */
#define EGRESS_PARK_MS    20  /* of a sandbox that has used up its bytes per second */

#define EGRESS_SHAKE_MS  10000  /* of intercepted flows: both handshakes */
#define EGRESS_HEAD_MS   30000  /* the head of a request, from its first byte */
#define EGRESS_IDLE_MS   120000 /* between requests */
#define EGRESS_ANSWER_MS 600000 /* a request under way, without any byte */

struct egress {
    uv_loop_t loop;
    struct watch_set watches;
    struct watch_deadlines open, resolve, connect, flush; /* of flows */
    struct watch_deadlines shake, head, idle, answer;     /* of intercepted flows */
    struct watch_deadlines retry, park;                   /* of tenants */
    struct resolver resolver;
    struct policy_operator policy;
    struct list tenants;
    size_t tenant_count;
    struct meter meter;
    struct ctl ctl;
    struct session_set *sessions;
    struct list shaking; /* struct tenant with handshakes to be continued, in turn */
    struct watch_task shake_turn;
    size_t intercepted;
    size_t fds, fds_max; /* connections and sockets of flows, and how many there may be */
};

#endif
