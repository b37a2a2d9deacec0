/* SPDX-License-Identifier: Apache-2.0 */
/* egress.h - what the whole process shares. */
#ifndef CORRAL_EGRESS_EGRESS_H
#define CORRAL_EGRESS_EGRESS_H

#include "egress/ctl.h"
#include "egress/meter.h"
#include "egress/policy.h"
#include "egress/resolve.h"
#include "egress/watch.h"

#define EGRESS_OPEN_MS    5000  /* for the first frame of a connection */
#define EGRESS_RESOLVE_MS 10000 /* for the addresses of a name */
#define EGRESS_CONNECT_MS 10000 /* for one address to answer */
#define EGRESS_DIAL_MS    30000 /* for all addresses of a name together */
#define EGRESS_FLUSH_MS   5000  /* for the sandbox to take the last bytes */
#define EGRESS_RETRY_MS   100 /* after the kernel had no memory or no descriptor for a connection */
#define EGRESS_PARK_MS    20  /* of a sandbox that has used up its bytes per second */

struct egress {
    uv_loop_t loop;
    struct watch_set watches;
    struct watch_deadlines open, resolve, connect, flush; /* of flows */
    struct watch_deadlines retry, park;                   /* of tenants */
    struct resolver resolver;
    struct policy_operator policy;
    struct list tenants;
    size_t tenant_count;
    struct meter meter;
    struct ctl ctl;
    size_t fds, fds_max; /* connections and sockets of flows, and how many there may be */
};

#endif
