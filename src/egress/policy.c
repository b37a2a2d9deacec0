/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/policy.h"

#include "egress/floor.h"

#define POLICY_SMTP 25

int policy_operator_read(struct policy_operator *op, const char *const *allow,
                         const char *const *deny, struct error *err)
{
    *op = (struct policy_operator){.arena = {0}};
    int rv = rule_list_read(allow, &op->arena, &op->allow, err);
    if (rv == 0)
        rv = rule_list_read(deny, &op->arena, &op->deny, err);
    if (rv < 0)
        policy_operator_done(op);
    return rv;
}

void policy_operator_done(struct policy_operator *op)
{
    arena_done(&op->arena);
    *op = (struct policy_operator){.arena = {0}};
}

int policy_read(struct policy *p, const char *const *allow, const char *const *deny,
                struct error *err)
{
    *p = (struct policy){.otherwise = EGRESS_DENY, .log = EGRESS_LOG_DENIED};
    int rv = rule_list_read(allow, &p->arena, &p->allow, err);
    if (rv == 0)
        rv = rule_list_read(deny, &p->arena, &p->deny, err);
    if (rv < 0)
        policy_done(p);
    return rv;
}

void policy_done(struct policy *p)
{
    transform_list_wipe(&p->transforms);
    arena_done(&p->arena);
    *p = (struct policy){.otherwise = EGRESS_DENY};
}

/* With an unknown port an entry for any port may allow. */
static bool policy_allows(const struct rule *r, const struct rule_target *t)
{
    return (r->port == 0 || t->port == 0 || r->port == t->port) && rule_covers(r, t);
}

/* With an unknown port only an entry for all ports denies. */
static bool policy_denies(const struct rule_list *l, const struct rule_target *t)
{
    struct address inner;
    struct rule_target hidden = *t;
    bool wrapped = t->address != NULL && address_unwrap(t->address, &inner);
    hidden.address = &inner;
    for (size_t i = 0; i < l->count; i++) {
        const struct rule *r = &l->rules[i];
        if (r->port != 0 && r->port != t->port)
            continue;
        if (rule_covers(r, t) || (wrapped && rule_covers(r, &hidden)))
            return true;
    }
    return false;
}

static bool policy_lifts(const struct policy_operator *op, const struct rule_target *t, bool exact)
{
    for (size_t i = 0; i < op->allow.count; i++) {
        const struct rule *r = &op->allow.rules[i];
        if (policy_allows(r, t) && (!exact || rule_is_exact(r)))
            return true;
    }
    return false;
}

/* EGRESS_OK, EGRESS_BY_PORT when only the port stands against it, or EGRESS_BY_DEFAULT. */
static enum egress_reason policy_grants(const struct policy *p, const struct rule_target *t)
{
    enum egress_reason best = EGRESS_BY_DEFAULT;
    for (size_t i = 0; i < p->allow.count; i++) {
        const struct rule *r = &p->allow.rules[i];
        if (!policy_allows(r, t))
            continue;
        if (t->port != POLICY_SMTP || r->port == POLICY_SMTP)
            return EGRESS_OK;
        best = EGRESS_BY_PORT;
    }
    return best;
}

static enum egress_reason policy_tenant(const struct policy *p, const struct rule_target *t)
{
    enum egress_reason granted = policy_grants(p, t);
    if (granted != EGRESS_BY_DEFAULT)
        return granted;
    if (policy_denies(&p->deny, t))
        return EGRESS_BY_RULE;
    if (p->otherwise != EGRESS_PUBLIC)
        return EGRESS_BY_DEFAULT;
    return t->port == POLICY_SMTP ? EGRESS_BY_PORT : EGRESS_OK;
}

enum egress_reason policy_may_resolve(const struct policy_operator *op, const struct policy *p,
                                      const char *name)
{
    const struct rule_target t = {.name = name};
    if (policy_denies(&op->deny, &t))
        return EGRESS_BY_OPERATOR;
    return policy_tenant(p, &t);
}

enum egress_reason policy_check(const struct policy_operator *op, const struct policy *p,
                                const struct rule_target *t, bool own)
{
    enum floor_kind floor = own ? FLOOR_LOOPBACK : floor_of(t->address);
    if (policy_denies(&op->deny, t))
        return EGRESS_BY_OPERATOR;
    if (floor != FLOOR_NONE && !policy_lifts(op, t, floor == FLOOR_LOOPBACK))
        return EGRESS_BY_FLOOR;
    return policy_tenant(p, t);
}
