/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.c - what a sandbox may reach, from these clients' words to those of a policy.
 *
 * "allowOut" is what may be reached although "denyOut" denies everything, which it does by the
 * network of all addresses. "rules" are transforms: they allow nothing. A server whose sandboxes
 * have no network ignores both: nothing can be reached.
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

/* What `rules` has for one host: [{"transform": {"headers": {NAME: VALUE}}}...]. */
static int network_copy_rules(json *transforms, const json *rules, struct error *err)
{
    const json *rule = NULL;
    if (!cJSON_IsArray(rules))
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'rules' has a host without a list");
    cJSON_ArrayForEach(rule, rules)
    {
        const json *transform = NULL, *headers = NULL;
        if (!cJSON_IsObject(rule))
            return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'rules' has a rule that is none");
        int rv = json_get_object(rule, "transform", &transform, err);
        if (rv == 0)
            rv = json_get_object(transform, "headers", &headers, err);
        if (rv < 0)
            return rv;
        if (headers == NULL)
            continue;
        json *copy = cJSON_CreateObject();
        cJSON_AddStringToObject(copy, "host", rules->string);
        cJSON_AddItemToObject(copy, "headers", cJSON_Duplicate(headers, true));
        cJSON_AddItemToArray(transforms, copy);
    }
    return 0;
}

static int network_add_transforms(json *policy, const json *network, struct error *err)
{
    const json *hosts = NULL, *rules = NULL;
    int rv = json_get_object(network, "rules", &hosts, err);
    json *transforms = cJSON_AddArrayToObject(policy, "transforms");
    cJSON_ArrayForEach(rules, hosts)
    {
        if (rv == 0)
            rv = network_copy_rules(transforms, rules, err);
    }
    return rv;
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
    if (network_add_transforms(policy, network, err) < 0) {
        json_free_p(&policy);
        return NULL;
    }
    return policy;
}

/* The policy, which is taken over, takes the place of the client's words in the body and leaves it
 * again: a create whose template is built first reads its body twice. */
static int network_parse_translated(struct api_call *call, json *policy, struct buf *text,
                                    const char **ret, struct error *err)
{
    json *said = cJSON_DetachItemFromObjectCaseSensitive(call->body, "network");
    int rv = -ENOMEM;
    if (cJSON_AddItemToObject(call->body, "network", policy)) {
        rv = api_network_parse(call, text, ret, err);
        cJSON_DeleteItemFromObjectCaseSensitive(call->body, "network");
    } else {
        json_free_p(&policy);
        error_set(err, ERROR_INTERNAL, "Out of memory");
    }
    if (said != NULL && !cJSON_AddItemToObject(call->body, "network", said)) {
        json_free_p(&said);
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    }
    return rv;
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
    return network_parse_translated(call, policy, text, ret, err);
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
