/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - the numbers of GET /metrics: one table of counters and gauges, and requests by route.
 *
 * The numbers are the process's own, like the log: one set, touched on the loop's thread only.
 */
#ifndef CORRAL_CORE_METRICS_H
#define CORRAL_CORE_METRICS_H

#include "base/buf.h"

/* X(NAME, kind, "family", "label pairs or empty", "help"). Entries of one family stand together;
 * the first one's kind and help are the family's. */
#define METRICS(X)                                                                                 \
    X(CONNECTIONS, gauge, "corral_connections", "", "Open client connections")                     \
    X(SANDBOXES_CREATING, gauge, "corral_sandboxes", "state=\"creating\"", "Sandboxes by state")   \
    X(SANDBOXES_RUNNING, gauge, "corral_sandboxes", "state=\"running\"", "")                       \
    X(SANDBOXES_STOPPED, gauge, "corral_sandboxes", "state=\"stopped\"", "")                       \
    X(SANDBOXES_FAILED, gauge, "corral_sandboxes", "state=\"failed\"", "")                         \
    X(SANDBOXES_TERMINATED, gauge, "corral_sandboxes", "state=\"terminated\"", "")                 \
    X(SANDBOXES_TIMED_OUT, gauge, "corral_sandboxes", "state=\"timed_out\"", "")                   \
    X(SANDBOXES_CREATED, counter, "corral_sandboxes_created_total", "", "Sandboxes created")       \
    X(POOL_READY, gauge, "corral_pool_ready", "", "Started sandboxes waiting for a create")        \
    X(POOL_HITS, counter, "corral_pool_takes_total", "result=\"hit\"", "Creates by pool result")   \
    X(POOL_MISSES, counter, "corral_pool_takes_total", "result=\"miss\"", "")                      \
    X(LEFTOVERS, gauge, "corral_leftovers", "", "Ended sandboxes that wait for a cleaning")        \
    X(CLEANINGS_FAILED, counter, "corral_cleanings_failed_total", "",                              \
      "Attempts to remove an ended sandbox that failed")                                           \
    X(RATE_LIMITED, counter, "corral_rate_limited_total", "", "Requests refused with 429")         \
    X(AUTH_FAILED, counter, "corral_auth_failed_total", "", "Requests with a wrong credential")    \
    X(STORE_COMMITS, counter, "corral_store_commits_total", "result=\"ok\"", "State commits")      \
    X(STORE_FAILURES, counter, "corral_store_commits_total", "result=\"failed\"", "")              \
    X(EGRESS_UP, gauge, "corral_egress_up", "", "Whether corral-egress runs")                      \
    X(EGRESS_RESTARTS, counter, "corral_egress_restarts_total", "",                                \
      "Times that corral-egress was started again")                                                \
    X(EGRESS_FLOWS, counter, "corral_egress_flows_total", "", "Flows of sandboxes to the network") \
    X(EGRESS_OPEN, gauge, "corral_egress_flows_open", "", "Flows that are open now")               \
    X(EGRESS_RX, counter, "corral_egress_bytes_total", "direction=\"in\"", "Bytes of flows")       \
    X(EGRESS_TX, counter, "corral_egress_bytes_total", "direction=\"out\"", "")                    \
    X(EGRESS_LOOKUPS, counter, "corral_egress_lookups_total", "", "Names looked up")               \
    X(EGRESS_LOOKUP_US, counter, "corral_egress_lookup_microseconds_total", "",                    \
      "Time that these took")                                                                      \
    X(EGRESS_DENIED_SYNTAX, counter, "corral_egress_denied_total", "reason=\"syntax\"",            \
      "Denied flows and names")                                                                    \
    X(EGRESS_DENIED_OPERATOR, counter, "corral_egress_denied_total", "reason=\"operator\"", "")    \
    X(EGRESS_DENIED_FLOOR, counter, "corral_egress_denied_total", "reason=\"floor\"", "")          \
    X(EGRESS_DENIED_RULE, counter, "corral_egress_denied_total", "reason=\"rule\"", "")            \
    X(EGRESS_DENIED_DEFAULT, counter, "corral_egress_denied_total", "reason=\"default\"", "")      \
    X(EGRESS_DENIED_PORT, counter, "corral_egress_denied_total", "reason=\"port\"", "")            \
    X(EGRESS_DENIED_FLOW_LIMIT, counter, "corral_egress_denied_total", "reason=\"flow_limit\"",    \
      "")                                                                                          \
    X(EGRESS_DENIED_NAME_LIMIT, counter, "corral_egress_denied_total", "reason=\"name_limit\"",    \
      "")                                                                                          \
    X(EGRESS_DENIED_INTERCEPTION, counter, "corral_egress_denied_total",                           \
      "reason=\"interception\"", "")                                                               \
    X(LOOP_LAG_US, gauge, "corral_loop_lag_microseconds", "",                                      \
      "Longest turn of the loop since the last scrape")

enum metric {
#define X(name, kind, family, labels, help) METRIC_##name,
    METRICS(X)
#undef X
        METRIC_COUNT
};

#define METRICS_MAX_ROUTES   512 /* routes counted by name; further ones share the last */
#define METRICS_MAX_STATUSES 12  /* statuses counted per route; further ones share the last */

void metrics_add(enum metric m, int64_t n);
void metrics_set(enum metric m, int64_t value);
int64_t metrics_get(enum metric m);

/* Registers a route once, at start, and returns its number. Both strings must outlive the process's
 * use of metrics. */
unsigned int metrics_route(const char *method, const char *route);
/* Counts one answered request with the time from its head to the end of its answer. */
void metrics_request(unsigned int route, int status, uint64_t ns);

/* Appends everything in Prometheus text format 0.0.4. */
int metrics_print(struct buf *out);
/* Forgets everything; for tests. */
void metrics_reset(void);

#endif
