/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - what a sandbox may reach, as clients write it.
 *
 *   {"default": "public" | "deny", "allow": [RULE...], "deny": [RULE...], "transforms":
 * [TRANSFORM...], "proxy": null, "log": "denied" | "all" | "none", "limits": {"flows": N,
 * "new_names_per_min": N, "bytes_per_s": N}}
 *
 * A TRANSFORM is an object of transforms.h. A RULE is an entry of egress/rule.h, or {"host": ENTRY,
 * "ports": [PORT...]}, which stands for one entry a port. All fields may be missing. A field that
 * is not known is refused: a policy with a misspelt "deny" must not allow everything.
 */
#ifndef CORRAL_NETWORK_POLICY_H
#define CORRAL_NETWORK_POLICY_H

#include "egress/policy.h"
#include "network/transforms.h"

#define NETWORK_FLOWS_MAX 512u /* at once; an agent carries no more */
#define NETWORK_NAMES_MAX 100000u

struct network_policy {
    uint32_t otherwise; /* enum egress_default; 0: as the server has it */
    uint32_t log;       /* enum egress_log */
    struct network_rules allow, deny;
    struct network_transforms transforms;
    struct policy_limits limits;
};

/* What a sandbox has whose client says nothing. */
void network_policy_init(struct network_policy *ret);
/* 0, or a negative errno with an `err` that names the field or the entry. */
int network_policy_read(const json *j, struct network_policy *ret, struct error *err);
/* As above, from the text of a record. */
int network_policy_parse(const char *text, struct network_policy *ret, struct error *err);
/* All fields in their one spelling; reading them again gives the same policy. `fallback` is printed
 * when the policy leaves its default to the server; 0: nothing is. */
void network_policy_print(struct jsonw *w, const struct network_policy *p, uint32_t fallback);
void network_policy_done(struct network_policy *p);

#endif
