/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ties.h - what a sandbox is tied to of what its account has beside it: network policies, which say
 * together what it may reach, and providers, whose variables each run in it gets.
 *
 *   {"policies": [ID...], "providers": [ID...], "network": TEXT, "services": [SERVICE...]}
 *
 * is kept in the sandbox's record. Its own network policy, that of its create, is in `network`
 * while policies are tied to it; what holds then, for corral-egress and in the record's network, is
 * made of all of them: the strictest mode, with the rules of those that have this mode. A policy
 * that changes is applied again to every sandbox that is tied to it.
 */
#ifndef CORRAL_API_TIES_H
#define CORRAL_API_TIES_H

#include "api/api.h"
#include "auth/bundle.h"

#define TIES_MAX 16 /* of one kind and sandbox */

/* The text of a sandbox, for what else stands in it (service.h): an object that the caller
 * releases, NULL without memory; and that object back, into the record: 0 or -ENOMEM. */
json *api_ties_read(const struct sandbox *sb);
int api_ties_write(struct sandbox *sb, const json *ties);

/* The texts that a create's parameters point to. */
struct ties_texts {
    struct buf ties, network;
};

/* The lists of ids in the fields of the body, of policies and of providers, or without policies the
 * account's default one. `p` has its account and its own policy. 0 or a negative errno with `err`.
 */
int api_ties_parse(struct api_call *call, const char *policies, const char *providers,
                   struct sandbox_params *p, struct ties_texts *t, struct error *err);

bool api_is_tied(const struct sandbox *sb, enum bundle_kind kind, const char *id);
/* Its own policy cannot be replaced while it has others. */
bool api_has_policies(const struct sandbox *sb);
/* 0, or a negative errno with `err` filled and nothing has changed. A tie that is there already, or
 * is not, is no failure. */
int api_tie(struct api *api, struct sandbox *sb, const struct bundle *b, struct error *err);
int api_untie(struct api *api, struct sandbox *sb, const struct bundle *b, struct error *err);
/* Unties all sandboxes from a bundle that is about to go. */
void api_untie_all(struct api *api, const struct bundle *b);
/* Applies a policy that has changed to the sandboxes that are tied to it. */
void api_ties_changed(struct api *api, const struct bundle *b);
/* Applies the policies of one sandbox again. */
void api_ties_apply(struct api *api, struct sandbox *sb);

/* As api_get_env for a run in the call's sandbox: what the providers have and
 * the field does not is part of it. */
int api_environment(struct api_call *call, const json *from, const char *field, char ***ret,
                    struct error *err);

/* Whether corral-egress could carry out a rule: 0, or a negative errno with `err` filled. */
int api_ties_check_rule(const char *destination, uint16_t port, struct error *err);

#endif
