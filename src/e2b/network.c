/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.c - what a sandbox may reach, from these clients' words to those of a policy.
 *
 * "allowOut" is what may be reached although "denyOut" denies everything, which it does by the
 * network of all addresses. A server whose sandboxes have no network ignores both: nothing can be
 * reached.
 */
#include <errno.h>
#include <string.h>

#include "api/network.h"
#include "e2b/internal.h"

#define NETWORK_ALL "0.0.0.0/0"

static bool network_is_all(const json *rule)
{
    return cJSON_IsString(rule) && strcmp(rule->valuestring, NETWORK_ALL) == 0;
}

/* The list without the network of all addresses; true when that was in it. */
static bool network_copy(json *policy, const char *name, const json *list)
{
    bool all = false;
    const json *rule = NULL;
    json *copy = cJSON_AddArrayToObject(policy, name);
    cJSON_ArrayForEach(rule, list)
    {
        if (network_is_all(rule))
            all = true;
        else
            cJSON_AddItemToArray(copy, cJSON_Duplicate(rule, true));
    }
    return all;
}

/* The policy that `network` (NULL: it says nothing) and the switch stand for; owned. */
static json *network_translate(const json *network, bool internet, struct error *err)
{
    const json *allow = NULL, *deny = NULL;
    int rv = json_get_array(network, "allowOut", &allow, err);
    if (rv == 0)
        rv = json_get_array(network, "denyOut", &deny, err);
    if (rv < 0)
        return NULL;
    json *policy = cJSON_CreateObject();
    if (policy == NULL) {
        error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    (void)network_copy(policy, "allow", allow);
    if (network_copy(policy, "deny", deny) || !internet)
        cJSON_AddStringToObject(policy, "default", "deny");
    return policy;
}

int e2b_network_parse(struct api_call *call, struct buf *text, const char **ret, struct error *err)
{
    const json *network = NULL;
    bool internet = true;
    int rv = json_get_object(call->body, "network", &network, err);
    if (rv == 0)
        rv = json_get_bool(call->body, "allow_internet_access", true, &internet, err);
    if (rv < 0 || call->api->network == NULL || (network == NULL && internet))
        return rv;
    json *policy = network_translate(network, internet, err);
    if (policy == NULL)
        return -EINVAL;
    cJSON_DeleteItemFromObjectCaseSensitive(call->body, "network");
    cJSON_AddItemToObject(call->body, "network", policy);
    return api_network_parse(call, text, ret, err);
}

void e2b_network_put(struct api_call *call)
{
    struct error err;
    bool internet = true;
    if (call->api->network == NULL) {
        e2b_reply_nothing(call);
        return;
    }
    json *policy = NULL;
    if (json_get_bool(call->body, "allow_internet_access", true, &internet, &err) == 0)
        policy = network_translate(call->body, internet, &err);
    if (policy == NULL) {
        api_fail(call, &err);
        return;
    }
    json_free_p(&call->body);
    call->body = policy;
    api_network_put(call);
}
