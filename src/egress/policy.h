/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - may this sandbox connect there? Pure functions over lists of rules; no I/O. corrald
 * uses them to refuse a policy that corral-egress could not read.
 *
 * A flow names a host and a port. Its name is judged before anything is resolved
 * (policy_may_resolve); then each address of the name is judged by itself, and the flow goes to one
 * that passed, never to another (policy_check):
 *
 *   1  the operator's deny list                                                EGRESS_BY_OPERATOR
 *   2  the floor and the host's own addresses; the operator's allow list
 *      lifts them, loopback and own addresses only by an entry for exactly
 *      this host and port                                                      EGRESS_BY_FLOOR
 *   3  the sandbox's allow list: allowed; port 25 only by an entry with port 25  EGRESS_BY_PORT
 *   4  the sandbox's deny list                                                 EGRESS_BY_RULE
 *   5  the sandbox's default                                  EGRESS_BY_DEFAULT, EGRESS_BY_PORT
 *
 * The operator's allow list lifts the floor and grants nothing else.
 *
 * Denying looks at an address and at the IPv4 address hidden in it, allowing at the address alone.
 * With the default `deny` a name is resolved only if an entry allows the name itself, so that
 * questions to name servers cannot carry data out; an allowed network does not make names resolve.
 */
#ifndef CORRAL_EGRESS_POLICY_H
#define CORRAL_EGRESS_POLICY_H

#include "egress/rule.h"
#include "egress/transform.h"
#include "egress_ctl.h"

/* What the operator says of all sandboxes. Zeroed: nothing. */
struct policy_operator {
    struct arena arena;
    struct rule_list allow, deny;
};

struct policy_limits {
    uint32_t flows;         /* at once; 0: none may be opened */
    uint32_t names;         /* new ones a minute */
    uint64_t bytes_per_sec; /* both ways together; 0: any */
};

/* What one sandbox may do. Zeroed: nothing. */
struct policy {
    struct arena arena;
    enum egress_default otherwise;
    enum egress_log log;
    struct rule_list allow, deny;
    struct transform_list transforms;
    struct policy_limits limits;
};

/* Lists are NULL-terminated, or NULL. On failure the object is empty. */
int policy_operator_read(struct policy_operator *op, const char *const *allow,
                         const char *const *deny, struct error *err);
void policy_operator_done(struct policy_operator *op);
/* Reads the two lists; the caller sets the other fields, transforms by transform_list_read with the
 * policy's arena. */
int policy_read(struct policy *p, const char *const *allow, const char *const *deny,
                struct error *err);
void policy_done(struct policy *p);

enum egress_reason policy_may_resolve(const struct policy_operator *op, const struct policy *p,
                                      const char *name);
/* `own`: the address is one of this host's. Port 0 asks whether any port is allowed. */
enum egress_reason policy_check(const struct policy_operator *op, const struct policy *p,
                                const struct rule_target *t, bool own);

#endif
