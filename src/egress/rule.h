/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule.h - one entry of an allow or deny list.
 *
 *   *                    everything; 0.0.0.0/0 means the same
 *   api.x.io             this name
 *   *.example.com        every name below it, at any depth, and not example.com itself
 *   203.0.113.7          this address; IPv6 in brackets when a port follows
 *   203.0.113.0/24       this network; [2001:db8::]/32 or 2001:db8::/32
 *   ...:443              any of these on one port only
 *
 * A name is matched by the name that was asked for, an address by the address that is connected to:
 * a bare address never matches a name's entry.
 */
#ifndef CORRAL_EGRESS_RULE_H
#define CORRAL_EGRESS_RULE_H

#include "base/arena.h"
#include "base/error.h"
#include "egress/address.h"
#include "egress/name.h"

enum rule_kind { RULE_ANY, RULE_NAME, RULE_BELOW, RULE_NET };

struct rule {
    enum rule_kind kind;
    uint16_t port;    /* 0: every port */
    const char *name; /* NAME and BELOW; in the list's arena */
    struct address net;
    unsigned int bits;
};

struct rule_list {
    struct rule *rules;
    size_t count;
};

/* `name` is "" when an address was asked for. `address` is NULL while only the name is known. */
struct rule_target {
    const char *name;
    const struct address *address;
    uint16_t port; /* 0: not known */
};

/* 0, or -EINVAL with the entry named in `err`, or -ENOMEM. */
int rule_read(const char *text, struct arena *arena, struct rule *ret, struct error *err);
/* `texts` is NULL-terminated; more than EGRESS_MAX_RULES are refused. */
int rule_list_read(const char *const *texts, struct arena *arena, struct rule_list *ret,
                   struct error *err);

/* Without regard to ports. */
bool rule_covers(const struct rule *r, const struct rule_target *t);
/* Whether the entry is for one name or one address and one port. */
bool rule_is_exact(const struct rule *r);

#endif
