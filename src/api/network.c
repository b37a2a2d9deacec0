/* SPDX-License-Identifier: Apache-2.0 */
/* network.c - what a sandbox may reach: the policy of a create, reading and replacing it, events.
 */
#include "network/network.h"

#include <string.h>

#include "api/network.h"
#include "api/op.h"
#include "api/ties.h"
#include "wire/reply.h"
#include "wire/request.h"

#define NETWORK_TRUST_MS 60000

/* A new policy with transforms. The sandbox is made to believe the authority first, so that no
 * request fails in between. */
struct network_put {
    struct api_op op;
    struct network_policy policy;
};

static int network_none(struct error *err)
{
    return error_set(err, ERROR_INVALID_STATE, "This server gives sandboxes no network");
}

/* `internet_access`: false is the default `deny`, true says nothing. */
static int network_internet(const struct api_call *call, struct network_policy *policy,
                            bool *ret_said, struct error *err)
{
    bool access = true;
    int rv = json_get_bool(call->body, "internet_access", true, &access, err);
    if (rv < 0 || access)
        return rv;
    if (policy->otherwise == EGRESS_PUBLIC)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field 'internet_access' is false and the policy's default is 'public'");
    policy->otherwise = EGRESS_DENY;
    *ret_said = true;
    return 0;
}

int api_network_parse(struct api_call *call, struct buf *text, const char **ret, struct error *err)
{
    struct network_policy policy;
    const json *given = NULL;
    struct jsonw w = {.out = text};
    network_policy_init(&policy);
    int rv = json_get_object(call->body, "network", &given, err);
    if (rv < 0)
        return rv;
    if (given != NULL && call->api->network == NULL)
        return network_none(err);
    if (given != NULL)
        rv = network_policy_read(given, &policy, err);
    bool said = given != NULL;
    if (rv == 0)
        rv = network_internet(call, &policy, &said, err);
    if (rv == 0)
        rv = network_transforms_check(&policy.transforms, call->api->secrets,
                                      call->principal.account, err);
    if (rv == 0 && said) {
        network_policy_print(&w, &policy, 0);
        *ret = buf_cstr(text);
        if (*ret == NULL)
            rv = error_set(err, ERROR_INTERNAL, "Out of memory");
    }
    network_policy_done(&policy);
    return rv;
}

int api_network_switch(struct api_call *call, bool internet, struct buf *text, const char **ret,
                       struct error *err)
{
    struct network_policy policy;
    struct jsonw w = {.out = text};
    if (call->api->network == NULL && internet)
        return error_set(err, ERROR_UNSUPPORTED, "This server gives sandboxes no network");
    if (call->api->network == NULL)
        return 0;
    network_policy_init(&policy);
    policy.otherwise = internet ? EGRESS_PUBLIC : EGRESS_DENY;
    network_policy_print(&w, &policy, 0);
    network_policy_done(&policy);
    *ret = buf_cstr(text);
    return *ret != NULL ? 0 : error_set(err, ERROR_INTERNAL, "Out of memory");
}

static void network_reply(struct api_call *call)
{
    const struct sandbox *sb = call->sandbox;
    struct network_policy policy;
    struct error err;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    network_policy_init(&policy);
    int rv = sb->owner.network != NULL ? network_policy_parse(sb->owner.network, &policy, &err) : 0;
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    network_policy_print(&w, &policy, network_default(call->api->network));
    network_policy_done(&policy);
    api_reply(call, 200, &body);
}

static bool network_exists(struct api_call *call)
{
    struct error err;
    if (call->api->network != NULL)
        return true;
    (void)network_none(&err);
    api_fail(call, &err);
    return false;
}

void api_network_get(struct api_call *call)
{
    if (network_exists(call))
        network_reply(call);
}

static void network_set(struct api_call *call, struct network_policy *policy)
{
    if (sandbox_set_network(call->sandbox, policy) < 0)
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
    else
        api_when_committed(call, network_reply);
}

static void network_trusted(struct api_op *op, const struct wire_frame *frame)
{
    struct network_put *put = container_of(op, struct network_put, op);
    if (!wire_reply_is(frame, WIRE_OK)) {
        api_op_bad_frame(op);
        return;
    }
    struct network_policy policy = put->policy;
    network_policy_init(&put->policy);
    struct api_call *call = api_op_close(op);
    if (call != NULL)
        network_set(call, &policy);
    else
        network_policy_done(&policy);
}

static void network_release(struct api_op *op)
{
    struct network_put *put = container_of(op, struct network_put, op);
    network_policy_done(&put->policy);
    free(put);
}

static void network_trust(struct api_call *call, struct network_policy *policy)
{
    static const struct api_op_ops ops = {.frame = network_trusted, .release = network_release};
    struct buf request = {0};
    struct network_put *put = calloc(1, sizeof(*put));
    if (put == NULL) {
        network_policy_done(policy);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    put->policy = *policy;
    wire_request_trust(&request, network_certificate(call->api->network));
    api_op_start(&put->op, call, &ops, &request, NETWORK_TRUST_MS);
}

void api_network_put(struct api_call *call)
{
    struct network_policy policy;
    struct error err;
    if (!network_exists(call))
        return;
    if (api_has_policies(call->sandbox)) {
        api_fail_code(call, ERROR_CONFLICT,
                      "Network policies with names are attached to the sandbox; detach them first");
        return;
    }
    int rv = network_policy_read(call->body, &policy, &err);
    if (rv == 0)
        rv = network_transforms_check(&policy.transforms, call->api->secrets,
                                      call->sandbox->owner.account, &err);
    if (rv < 0) {
        network_policy_done(&policy);
        api_fail(call, &err);
    } else if (policy.transforms.count > 0) {
        network_trust(call, &policy);
    } else {
        network_set(call, &policy);
    }
}

void api_network_events(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    network_events_print(&w, &call->sandbox->net.events);
    api_reply(call, 200, &body);
}
