/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/connect.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

/* A policy that this server cannot read, because another one has written it, denies everything. */
static void connect_policy(const struct sandbox *sb, struct network_policy *ret)
{
    struct error err;
    char quoted[300];
    network_policy_init(ret);
    if (sb->owner.network == NULL || network_policy_parse(sb->owner.network, ret, &err) == 0)
        return;
    ret->otherwise = EGRESS_DENY;
    log_error("a network policy cannot be read; it denies everything", "sandbox=%s reason=%s",
              sb->id, log_quote(quoted, sizeof(quoted), err.message));
}

void sandbox_connect(struct sandbox *sb)
{
    struct network_policy policy;
    struct network *network = sandbox_network(sb);
    if (network == NULL)
        return;
    connect_policy(sb, &policy);
    sb->net.id = sb->id;
    sb->net.account = sb->owner.account;
    int rv = network_attach(network, &sb->net, sb->dir, sb->instance->driver->ops->egress, &policy);
    if (rv < 0)
        log_warn("sandbox has no network", "sandbox=%s error=\"%s\"", sb->id, strerror(-rv));
    else if (sb->net.policy.transforms.count > 0 && !sb->adopted)
        sb->trust = SANDBOX_TRUST_OWED;
}

int sandbox_set_network(struct sandbox *sb, struct network_policy *policy)
{
    struct buf text = {0};
    struct jsonw w = {.out = &text};
    network_policy_print(&w, policy, 0);
    if (buf_cstr(&text) == NULL) {
        buf_done(&text);
        network_policy_done(policy);
        return -ENOMEM;
    }
    free(sb->owner.network);
    sb->owner.network = (char *)text.data;
    network_set_policy(&sb->net, policy);
    sb->events->changed(sb);
    return 0;
}

void sandbox_set_ties(struct sandbox *sb, char *ties)
{
    free(sb->owner.ties);
    sb->owner.ties = ties;
    sb->events->changed(sb);
}
