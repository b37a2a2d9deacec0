/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - the network of all sandboxes: who has one, and what corral-egress must know of it.
 *
 * A sandbox is attached when it is claimed or adopted: its socket is bound, and corral-egress gets
 * the listener and the policy. Before, and where this fails, it has no network: nothing answers
 * behind its interface.
 *
 * What is to be sent is not queued but marked at the tenant. So a slow corral-egress costs no
 * memory, the last of several policies is the only one it reads, and a new process is told
 * everything by marking all tenants.
 */
#ifndef CORRAL_NETWORK_NETWORK_H
#define CORRAL_NETWORK_NETWORK_H

#include "auth/ca.h"
#include "base/list.h"
#include "network/events.h"
#include "network/link.h"

#define NETWORK_TENANTS_MAX 4096u /* corral-egress takes no more */
#define NETWORK_DROPS_MAX   4096u /* ended sandboxes that corral-egress was not told of yet */

struct network;

struct network_options {
    const char *program; /* corral-egress; must outlive the network */
    enum egress_default otherwise;
    const char *allow, *deny; /* the operator's, with commas between entries */
    const char *ca_file;      /* authorities that servers may have beside the system's; "": none */
    const struct ca *ca;      /* signs for hosts under transforms; must outlive the network */
    struct secrets *secrets;  /* the same; the network watches them */
    bool debug;
};

/* The network of one sandbox. Zeroed: it has none. */
struct network_tenant {
    struct network *network;
    const char *id;      /* the sandbox's */
    const char *account; /* whose secrets the policy may name */
    struct list by_hash; /* in the network */
    struct list pending; /* while there is something to tell */
    bool tell_sandbox;   /* the listener */
    bool tell_policy;
    int listener;
    struct network_policy policy;
    struct network_events events;
    uint64_t rx, tx;           /* bytes from the network and to it */
    uint64_t base_rx, base_tx; /* what earlier processes counted */
    uint32_t flows;
};

/* NULL with `err` filled when a list of the operator cannot be read. */
struct network *network_new(uv_loop_t *loop, const struct network_options *options,
                            struct error *err);
/* After the last sandbox was detached or left to the next server. */
void network_stop(struct network *n, void (*stopped)(void *ctx), void *ctx);
enum egress_default network_default(const struct network *n);
/* Of the authority that signs for hosts under transforms: PEM. */
const char *network_certificate(const struct network *n);

/* Gives a sandbox its network, through the socket `name` in or below its directory `dir`. Takes
 * over the policy. `t->id` and `t->account` are set and outlive the tenant. 0, or a negative errno
 * and it has none. */
int network_attach(struct network *n, struct network_tenant *t, const char *dir, const char *name,
                   struct network_policy *policy);
/* Replaces the policy, which is taken over. Flows that it denies are cut. */
void network_set_policy(struct network_tenant *t, struct network_policy *policy);
/* Cuts all flows. Counters and events stay. */
void network_detach(struct network_tenant *t);
/* Releases what is left. */
void network_tenant_done(struct network_tenant *t);

#endif
