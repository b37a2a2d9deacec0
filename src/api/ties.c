/* SPDX-License-Identifier: Apache-2.0 */
/* ties.c - see ties.h. */
#include "api/ties.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "network/policy.h"
#include "sandbox/pause.h"

static const char *const ties_fields[] = {
    [BUNDLE_POLICY] = "policies", [BUNDLE_PROVIDER] = "providers"};

#define TIES_NETWORK "network" /* the sandbox's own policy */

/* --- the text --- */

/* An empty object when there is nothing, or what cannot be read. NULL: out of memory. */
json *api_ties_read(const struct sandbox *sb)
{
    const char *text = sb->owner.ties != NULL ? sb->owner.ties : "{}";
    json *ties = json_parse_object(text, strlen(text), NULL);
    return ties != NULL ? ties : cJSON_CreateObject();
}

/* The ids of a kind; made when it is missing. NULL: out of memory. */
static json *ties_list(json *ties, enum bundle_kind kind)
{
    json *list = cJSON_GetObjectItemCaseSensitive(ties, ties_fields[kind]);
    if (cJSON_IsArray(list))
        return list;
    cJSON_DeleteItemFromObjectCaseSensitive(ties, ties_fields[kind]);
    return cJSON_AddArrayToObject(ties, ties_fields[kind]);
}

static int ties_find(const json *list, const char *id)
{
    const json *item = NULL;
    int i = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, id) == 0)
            return i;
        i++;
    }
    return -1;
}

bool api_is_tied(const struct sandbox *sb, enum bundle_kind kind, const char *id)
{
    if (sb->owner.ties == NULL)
        return false;
    cleanup_json json *ties = api_ties_read(sb);
    return ties_find(cJSON_GetObjectItemCaseSensitive(ties, ties_fields[kind]), id) >= 0;
}

bool api_has_policies(const struct sandbox *sb)
{
    if (sb->owner.ties == NULL)
        return false;
    cleanup_json json *ties = api_ties_read(sb);
    return cJSON_GetArraySize(ties_list(ties, BUNDLE_POLICY)) > 0;
}

/* --- policies --- */

/* The mode that a policy without a name comes to; -1: it says nothing. */
static int ties_mode_of(const struct network_policy *p)
{
    if (p->otherwise == EGRESS_DENY)
        return p->allow.count > 0 ? BUNDLE_ALLOWLIST : BUNDLE_DENY_ALL;
    if (p->deny.count > 0)
        return BUNDLE_DENYLIST;
    return p->otherwise == EGRESS_PUBLIC ? BUNDLE_ALLOW_ALL : -1;
}

/* {"host": ..., "ports": [...]}, see network/policy.h. */
static json *ties_rule(const char *destination, uint16_t port)
{
    json *rule = cJSON_CreateObject();
    json *ports = NULL;
    bool whole = rule != NULL && cJSON_AddStringToObject(rule, "host", destination) != NULL;
    if (whole && port != 0) {
        ports = cJSON_AddArrayToObject(rule, "ports");
        json *number = cJSON_CreateNumber(port);
        whole = ports != NULL && number != NULL && cJSON_AddItemToArray(ports, number);
    }
    if (!whole)
        json_free_p(&rule);
    return rule;
}

/* The rules of a policy, to the end of a list. Sandboxes have no way out for UDP at all. */
static int ties_add_rules(json *list, const struct bundle *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct bundle_entry *e = &b->entries[i];
        if (e->protocol == BUNDLE_UDP)
            continue;
        json *rule = ties_rule(e->name, e->port);
        if (rule == NULL || !cJSON_AddItemToArray(list, rule)) {
            json_free_p(&rule);
            return -ENOMEM;
        }
    }
    return 0;
}

int api_ties_check_rule(const char *destination, uint16_t port, struct error *err)
{
    struct network_policy policy;
    cleanup_json json *doc = cJSON_CreateObject();
    json *list = cJSON_AddArrayToObject(doc, "allow");
    json *rule = ties_rule(destination, port);
    if (list == NULL || rule == NULL || !cJSON_AddItemToArray(list, rule)) {
        json_free_p(&rule);
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    }
    int rv = network_policy_read(doc, &policy, err);
    if (rv == 0)
        network_policy_done(&policy);
    return rv;
}

/* The active policies of the list. */
struct ties_policies {
    const struct bundle *items[TIES_MAX];
    size_t count;
    int strictest; /* enum bundle_mode; -1: none */
};

static void ties_resolve(struct api *api, const char *account, const json *list,
                         struct ties_policies *ret)
{
    const json *item = NULL;
    *ret = (struct ties_policies){.strictest = -1};
    cJSON_ArrayForEach(item, list)
    {
        const struct bundle *b = cJSON_IsString(item) ? bundle_find(api->bundles, BUNDLE_POLICY,
                                                                    account, item->valuestring)
                                                      : NULL;
        if (b == NULL || !b->is_active || ret->count == TIES_MAX)
            continue;
        ret->items[ret->count++] = b;
        ret->strictest = MAX(ret->strictest, (int)b->mode);
    }
}

/* Sets default, allow and deny of a policy as JSON, whose own mode is `own`. */
static int ties_compose(json *doc, int own, const struct ties_policies *p)
{
    int mode = MAX(own, p->strictest);
    if (own < mode || mode == BUNDLE_DENY_ALL) {
        cJSON_DeleteItemFromObjectCaseSensitive(doc, "allow");
        cJSON_DeleteItemFromObjectCaseSensitive(doc, "deny");
    }
    cJSON_DeleteItemFromObjectCaseSensitive(doc, "default");
    if (cJSON_AddStringToObject(doc, "default", mode >= BUNDLE_ALLOWLIST ? "deny" : "public") ==
        NULL)
        return -ENOMEM;
    if (mode != BUNDLE_ALLOWLIST && mode != BUNDLE_DENYLIST)
        return 0;
    const char *field = mode == BUNDLE_ALLOWLIST ? "allow" : "deny";
    json *list = cJSON_GetObjectItemCaseSensitive(doc, field);
    if (list == NULL)
        list = cJSON_AddArrayToObject(doc, field);
    for (size_t i = 0; i < p->count; i++) {
        if ((int)p->items[i]->mode == mode && (list == NULL || ties_add_rules(list, p->items[i])))
            return -ENOMEM;
    }
    return 0;
}

/* What holds for a sandbox whose own policy is `own` (NULL: the server's). */
static int ties_policy(struct api *api, const char *account, const char *own, const json *list,
                       struct network_policy *ret, struct error *err)
{
    struct ties_policies policies;
    cleanup_buf struct buf text = {0};
    struct jsonw w = {.out = &text};
    network_policy_init(ret);
    int rv = own != NULL ? network_policy_parse(own, ret, err) : 0;
    if (rv < 0)
        return rv;
    ties_resolve(api, account, list, &policies);
    if (policies.count == 0)
        return 0;
    int mode = ties_mode_of(ret);
    network_policy_print(&w, ret, 0);
    network_policy_done(ret);
    cleanup_json json *doc = json_parse_object(text.data, text.len, err);
    if (doc == NULL)
        return -EINVAL;
    if (ties_compose(doc, mode, &policies) < 0)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    return network_policy_read(doc, ret, err);
}

static const char *ties_own_network(const json *ties)
{
    const json *own = cJSON_GetObjectItemCaseSensitive(ties, TIES_NETWORK);
    return cJSON_IsString(own) ? own->valuestring : NULL;
}

/* --- a sandbox's ties change --- */

/* A text without any element is none. */
int api_ties_write(struct sandbox *sb, const json *ties)
{
    struct buf text = {0};
    const json *list = NULL;
    bool empty = true;
    cJSON_ArrayForEach(list, ties)
    {
        empty = empty && cJSON_GetArraySize(list) == 0;
    }
    if (!empty && (json_print(&text, ties) < 0 || buf_cstr(&text) == NULL)) {
        buf_done(&text);
        return -ENOMEM;
    }
    sandbox_set_ties(sb, (char *)text.data);
    return 0;
}

/* Policies are there for the first time, or for the last: the sandbox's own policy moves. */
static int ties_move_network(const struct sandbox *sb, json *ties, bool before)
{
    if (!before && sb->owner.network != NULL)
        return cJSON_AddStringToObject(ties, TIES_NETWORK, sb->owner.network) != NULL ? 0 : -ENOMEM;
    return 0;
}

static int ties_set_network(struct api *api, struct sandbox *sb, json *ties, struct error *err)
{
    struct network_policy policy;
    const json *list = ties_list(ties, BUNDLE_POLICY);
    int rv = ties_policy(api, sb->owner.account, ties_own_network(ties), list, &policy, err);
    if (rv == 0 && sandbox_set_network(sb, &policy) < 0)
        rv = error_set(err, ERROR_INTERNAL, "Out of memory");
    if (cJSON_GetArraySize(list) == 0)
        cJSON_DeleteItemFromObjectCaseSensitive(ties, TIES_NETWORK);
    return rv;
}

static int ties_change(struct api *api, struct sandbox *sb, const struct bundle *b, bool tie,
                       struct error *err)
{
    cleanup_json json *ties = api_ties_read(sb);
    json *list = ties_list(ties, b->kind);
    int at = ties_find(list, b->id);
    if (list == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    if (tie == (at >= 0))
        return 0;
    if (tie && cJSON_GetArraySize(list) >= TIES_MAX)
        return error_set(err, ERROR_QUOTA_EXCEEDED, "The sandbox has %d %s already", TIES_MAX,
                         ties_fields[b->kind]);
    bool policy = b->kind == BUNDLE_POLICY;
    int rv = policy ? ties_move_network(sb, ties, cJSON_GetArraySize(list) > 0) : 0;
    if (tie) {
        json *id = cJSON_CreateString(b->id);
        if (id == NULL || !cJSON_AddItemToArray(list, id))
            rv = -ENOMEM;
    } else {
        cJSON_DeleteItemFromArray(list, at);
    }
    if (rv < 0)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    if (policy && ties_set_network(api, sb, ties, err) < 0)
        return -EINVAL;
    return api_ties_write(sb, ties) < 0 ? error_set(err, ERROR_INTERNAL, "Out of memory") : 0;
}

int api_tie(struct api *api, struct sandbox *sb, const struct bundle *b, struct error *err)
{
    if (b->kind == BUNDLE_POLICY && api->network == NULL)
        return error_set(err, ERROR_UNSUPPORTED, "This server gives sandboxes no network");
    return ties_change(api, sb, b, true, err);
}

int api_untie(struct api *api, struct sandbox *sb, const struct bundle *b, struct error *err)
{
    return ties_change(api, sb, b, false, err);
}

/* --- a bundle changes --- */

/* What cannot be made of the policies any more lets nothing pass. */
static void ties_deny(struct sandbox *sb, const struct error *err)
{
    struct network_policy policy;
    char quoted[300];
    log_error("the network policies of a sandbox cannot be applied; it may reach nothing",
              "sandbox=%s reason=%s", sb->id, log_quote(quoted, sizeof(quoted), err->message));
    network_policy_init(&policy);
    policy.otherwise = EGRESS_DENY;
    (void)sandbox_set_network(sb, &policy);
}

void api_ties_apply(struct api *api, struct sandbox *sb)
{
    struct error err;
    cleanup_json json *ties = api_ties_read(sb);
    if (ties_set_network(api, sb, ties, &err) < 0)
        ties_deny(sb, &err);
}

struct ties_walk {
    struct api *api;
    const struct bundle *bundle;
    bool untie;
};

/* One that is on its way to run applies its policies once it does. */
static bool ties_walk_wants(void *ctx, const struct sandbox *sb)
{
    const struct ties_walk *walk = ctx;
    return (sandbox_is_running(sb) || sandbox_is_paused(sb)) &&
           api_is_tied(sb, walk->bundle->kind, walk->bundle->id);
}

static void ties_walk_visit(void *ctx, struct sandbox *sb)
{
    struct ties_walk *walk = ctx;
    struct error err;
    if (!walk->untie)
        api_ties_apply(walk->api, sb);
    else if (api_untie(walk->api, sb, walk->bundle, &err) < 0)
        ties_deny(sb, &err);
}

static void ties_walk(struct ties_walk *walk)
{
    (void)sandbox_table_list(walk->api->sandboxes, walk->bundle->account, 0, UINT32_MAX,
                             ties_walk_wants, ties_walk_visit, walk);
}

void api_untie_all(struct api *api, const struct bundle *b)
{
    struct ties_walk walk = {.api = api, .bundle = b, .untie = true};
    ties_walk(&walk);
}

void api_ties_changed(struct api *api, const struct bundle *b)
{
    struct ties_walk walk = {.api = api, .bundle = b};
    if (b->kind == BUNDLE_POLICY)
        ties_walk(&walk);
}

/* --- create --- */

static int ties_parse_list(struct api_call *call, const char *field, enum bundle_kind kind,
                           json *ties, struct error *err)
{
    const json *given = NULL, *item = NULL;
    int rv = json_get_array(call->body, field, &given, err);
    json *list = ties_list(ties, kind);
    if (rv < 0)
        return rv;
    if (list == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    cJSON_ArrayForEach(item, given)
    {
        const char *id = cJSON_IsString(item) ? item->valuestring : "";
        if (bundle_find(call->api->bundles, kind, call->principal.account, id) == NULL)
            return error_set(err, ERROR_NOT_FOUND, "Field '%s' names '%.60s', which there is not",
                             field, id);
        if (ties_find(list, id) < 0)
            cJSON_AddItemToArray(list, cJSON_CreateString(id));
    }
    if (cJSON_GetArraySize(list) > TIES_MAX)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' has more than %d ids", field,
                         TIES_MAX);
    return 0;
}

/* The policies of the body, or the account's default one, and what they come to. */
static int ties_parse_policies(struct api_call *call, const char *field, json *ties,
                               struct sandbox_params *p, struct buf *text, struct error *err)
{
    struct network_policy policy;
    struct jsonw w = {.out = text};
    int rv = ties_parse_list(call, field, BUNDLE_POLICY, ties, err);
    json *list = ties_list(ties, BUNDLE_POLICY);
    if (rv < 0)
        return rv;
    if (call->api->network == NULL)
        return cJSON_GetArraySize(list) == 0
                   ? 0
                   : error_set(err, ERROR_UNSUPPORTED, "This server gives sandboxes no network");
    const struct bundle *usual = bundle_default(call->api->bundles, BUNDLE_POLICY, p->account);
    if (cJSON_GetArraySize(list) == 0 && usual != NULL)
        cJSON_AddItemToArray(list, cJSON_CreateString(usual->id));
    if (cJSON_GetArraySize(list) == 0)
        return 0;
    if (p->network != NULL)
        (void)cJSON_AddStringToObject(ties, TIES_NETWORK, p->network);
    if (ties_policy(call->api, p->account, p->network, list, &policy, err) < 0)
        return -EINVAL;
    network_policy_print(&w, &policy, 0);
    network_policy_done(&policy);
    p->network = buf_cstr(text);
    return p->network != NULL ? 0 : error_set(err, ERROR_INTERNAL, "Out of memory");
}

int api_ties_parse(struct api_call *call, const char *policies, const char *providers,
                   struct sandbox_params *p, struct ties_texts *t, struct error *err)
{
    cleanup_json json *ties = cJSON_CreateObject();
    int rv = ties_parse_policies(call, policies, ties, p, &t->network, err);
    if (rv == 0)
        rv = ties_parse_list(call, providers, BUNDLE_PROVIDER, ties, err);
    if (rv < 0)
        return rv;
    if (cJSON_GetArraySize(ties_list(ties, BUNDLE_POLICY)) +
            cJSON_GetArraySize(ties_list(ties, BUNDLE_PROVIDER)) ==
        0)
        return 0;
    p->ties = json_print(&t->ties, ties) == 0 ? buf_cstr(&t->ties) : NULL;
    return p->ties != NULL ? 0 : error_set(err, ERROR_INTERNAL, "Out of memory");
}

/* --- variables --- */

static int ties_add_variables(struct api *api, const struct bundle *b, json *into)
{
    for (size_t i = 0; i < b->count; i++) {
        struct buf value = {0};
        const struct bundle_entry *e = &b->entries[i];
        int rv = bundle_value(api->bundles, b, e, &value);
        const char *text = rv == 0 ? buf_cstr(&value) : NULL;
        if (text != NULL && cJSON_GetObjectItemCaseSensitive(into, e->name) == NULL)
            (void)cJSON_AddStringToObject(into, e->name, text);
        secret_wipe(&value);
        if (text == NULL)
            return rv < 0 ? rv : -ENOMEM;
    }
    return 0;
}

/* `into` has what the client says, which counts more. Of two providers the later tie does. */
static int ties_add_providers(struct api_call *call, const json *ids, json *into)
{
    const struct sandbox *sb = call->sandbox;
    int rv = 0;
    for (int i = cJSON_GetArraySize(ids) - 1; i >= 0 && rv == 0; i--) {
        const json *id = cJSON_GetArrayItem(ids, i);
        const struct bundle *b = cJSON_IsString(id)
                                     ? bundle_find(call->api->bundles, BUNDLE_PROVIDER,
                                                   sb->owner.account, id->valuestring)
                                     : NULL;
        if (b != NULL && b->is_active)
            rv = ties_add_variables(call->api, b, into);
    }
    return rv;
}

int api_environment(struct api_call *call, const json *from, const char *field, char ***ret,
                    struct error *err)
{
    const json *said = NULL;
    int rv = json_get_object(from, field, &said, err);
    if (rv < 0 || call->sandbox == NULL || call->sandbox->owner.ties == NULL)
        return rv < 0 ? rv : api_get_env(from, field, ret, err);
    cleanup_json json *ties = api_ties_read(call->sandbox);
    cleanup_json json *holder = cJSON_CreateObject();
    json *all = said != NULL ? cJSON_Duplicate(said, true) : cJSON_CreateObject();
    if (all == NULL || !cJSON_AddItemToObject(holder, field, all)) {
        json_free_p(&all);
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    }
    const json *ids = cJSON_GetObjectItemCaseSensitive(ties, ties_fields[BUNDLE_PROVIDER]);
    rv = ties_add_providers(call, ids, all);
    if (rv < 0)
        return error_set_errno(err, ERROR_INTERNAL, rv, "The variables of a provider");
    return api_get_env(holder, field, ret, err);
}
