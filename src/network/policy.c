/* SPDX-License-Identifier: Apache-2.0 */
#include "network/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "network/packet.h"

#define POLICY_FLOWS     512
#define POLICY_NAMES     600
#define POLICY_HOST      300 /* more bytes than any entry that can be read has */
#define POLICY_ID_LENGTH 36  /* of the sandbox, for the size of the packet */

static const char *const policy_defaults[] = {NULL, "public", "deny"};
static const char *const policy_logs[] = {NULL, "denied", "all", "none"};

static int rules_add(struct network_rules *l, const char *text, size_t len)
{
    return network_rules_add(l, EGRESS_MAX_RULES, text, len);
}

static int rules_failed(const char *field, int rv, struct error *err)
{
    if (rv == -E2BIG)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' has more than %u entries", field,
                         EGRESS_MAX_RULES);
    return error_set_errno(err, ERROR_INTERNAL, rv, "Field '%s'", field);
}

void network_policy_init(struct network_policy *ret)
{
    *ret = (struct network_policy){
        .log = EGRESS_LOG_DENIED,
        .limits = {.flows = POLICY_FLOWS, .names = POLICY_NAMES},
    };
}

void network_policy_done(struct network_policy *p)
{
    network_rules_done(&p->allow);
    network_rules_done(&p->deny);
    network_transforms_done(&p->transforms);
    network_policy_init(p);
}

static int policy_known(const json *object, const char *const *fields, size_t n, struct error *err)
{
    const json *item = NULL;
    cJSON_ArrayForEach(item, object)
    {
        size_t i = 0;
        while (i < n && strcmp(fields[i], item->string) != 0)
            i++;
        if (i == n)
            return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%.60s' is not known in a policy",
                             item->string);
    }
    return 0;
}

static int policy_word(const json *j, const char *field, const char *const *words, size_t n,
                       uint32_t *ret, struct error *err)
{
    const char *text = NULL;
    int rv = json_get_str(j, field, NULL, &text, err);
    if (rv < 0 || text == NULL)
        return rv;
    for (uint32_t i = 1; i < n; i++) {
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return 0;
        }
    }
    return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' does not know '%.60s'", field, text);
}

/* An IPv6 address needs brackets before a port. */
static void policy_host(const char *host, char ret[POLICY_HOST])
{
    size_t address = strcspn(host, "/");
    bool bare = host[0] != '[' && strchr(host, ':') != NULL;
    (void)snprintf(ret, POLICY_HOST, bare ? "[%.*s]%s" : "%.*s%s", (int)address, host,
                   host + address);
}

static int policy_ports(const char *host, const json *ports, struct network_rules *l,
                        const char *field, struct error *err)
{
    const json *port = NULL;
    char name[POLICY_HOST], text[POLICY_HOST + 8];
    policy_host(host, name);
    cJSON_ArrayForEach(port, ports)
    {
        if (!cJSON_IsNumber(port) || port->valuedouble != port->valueint || port->valueint < 1 ||
            port->valueint > UINT16_MAX)
            return error_set(
                err, ERROR_INVALID_ARGUMENT,
                "Field 'ports' of %.100s has something else than ports from 1 to 65535", name);
        (void)snprintf(text, sizeof(text), "%s:%d", name, port->valueint);
        int rv = rules_add(l, text, strlen(text));
        if (rv < 0)
            return rules_failed(field, rv, err);
    }
    return 0;
}

static int policy_rule(const json *item, const char *field, struct network_rules *l,
                       struct error *err)
{
    static const char *const fields[] = {"host", "ports"};
    const char *host = NULL;
    const json *ports = NULL;
    int rv;
    if (cJSON_IsString(item)) {
        rv = rules_add(l, item->valuestring, strlen(item->valuestring));
        return rv < 0 ? rules_failed(field, rv, err) : 0;
    }
    if (!cJSON_IsObject(item))
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field '%s' has an entry that is neither a string nor an object", field);
    rv = policy_known(item, fields, ARRAY_SIZE(fields), err);
    if (rv == 0)
        rv = json_need_str(item, "host", &host, err);
    if (rv == 0)
        rv = json_get_array(item, "ports", &ports, err);
    if (rv < 0 || host == NULL)
        return rv;
    if (strlen(host) >= POLICY_HOST - 3)
        return error_set(err, ERROR_INVALID_ARGUMENT, "The host %.60s... is too long", host);
    if (ports != NULL)
        return policy_ports(host, ports, l, field, err);
    rv = rules_add(l, host, strlen(host));
    return rv < 0 ? rules_failed(field, rv, err) : 0;
}

static int policy_rules(const json *j, const char *field, struct network_rules *l,
                        struct error *err)
{
    const json *list = NULL, *item = NULL;
    int rv = json_get_array(j, field, &list, err);
    if (rv < 0 || list == NULL)
        return rv;
    cJSON_ArrayForEach(item, list)
    {
        rv = policy_rule(item, field, l, err);
        if (rv < 0)
            return rv;
    }
    return 0;
}

static int policy_limits_read(const json *j, struct policy_limits *l, struct error *err)
{
    static const char *const fields[] = {"flows", "new_names_per_min", "bytes_per_s"};
    const json *limits = NULL;
    int64_t flows = 0, names = 0, bytes = 0;
    int rv = json_get_object(j, "limits", &limits, err);
    if (rv < 0 || limits == NULL)
        return rv;
    rv = policy_known(limits, fields, ARRAY_SIZE(fields), err);
    if (rv == 0)
        rv = json_get_int(limits, "flows", l->flows, 0, NETWORK_FLOWS_MAX, &flows, err);
    if (rv == 0)
        rv = json_get_int(limits, "new_names_per_min", l->names, 0, NETWORK_NAMES_MAX, &names, err);
    if (rv == 0)
        rv = json_get_int(limits, "bytes_per_s", 0, 0, (int64_t)1 << 50, &bytes, err);
    if (rv == 0)
        *l = (struct policy_limits){
            .flows = (uint32_t)flows, .names = (uint32_t)names, .bytes_per_sec = (uint64_t)bytes};
    return rv;
}

/* A part of the object that this server cannot carry out, yet a client may spell out as empty. */
static int policy_absent(const json *j, struct error *err)
{
    const json *proxy = cJSON_GetObjectItemCaseSensitive(j, "proxy");
    if (proxy != NULL && !cJSON_IsNull(proxy))
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field 'proxy' must be null: this server connects without a proxy");
    return 0;
}

/* corral-egress must be able to read it, rule by rule and as one packet. */
static int policy_check_rules(const struct network_policy *p, struct error *err)
{
    struct policy checked;
    cleanup_buf struct buf packet = {0};
    char id[POLICY_ID_LENGTH + 1];
    int rv = policy_read(&checked, (const char *const *)p->allow.items,
                         (const char *const *)p->deny.items, err);
    if (rv < 0)
        return rv;
    policy_done(&checked);
    memset(id, '0', POLICY_ID_LENGTH);
    id[POLICY_ID_LENGTH] = '\0';
    packet_put_policy(&packet, id, p, EGRESS_DENY, NULL, NULL);
    if (packet.failed)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    return packet.len + network_transforms_room(&p->transforms) > EGRESS_MAX_FRAME
               ? error_set(err, ERROR_INVALID_ARGUMENT,
                           "The policy has too many bytes of rules, transforms and secrets")
               : 0;
}

int network_policy_read(const json *j, struct network_policy *ret, struct error *err)
{
    static const char *const fields[] = {"default", "allow", "deny",  "transforms",
                                         "proxy",   "log",   "limits"};
    network_policy_init(ret);
    int rv = policy_known(j, fields, ARRAY_SIZE(fields), err);
    if (rv == 0)
        rv = policy_word(j, "default", policy_defaults, ARRAY_SIZE(policy_defaults),
                         &ret->otherwise, err);
    if (rv == 0)
        rv = policy_word(j, "log", policy_logs, ARRAY_SIZE(policy_logs), &ret->log, err);
    if (rv == 0)
        rv = policy_absent(j, err);
    if (rv == 0)
        rv = policy_limits_read(j, &ret->limits, err);
    if (rv == 0)
        rv = policy_rules(j, "allow", &ret->allow, err);
    if (rv == 0)
        rv = policy_rules(j, "deny", &ret->deny, err);
    if (rv == 0)
        rv = network_transforms_read(j, &ret->transforms, err);
    if (rv == 0)
        rv = policy_check_rules(ret, err);
    if (rv < 0)
        network_policy_done(ret);
    return rv;
}

int network_policy_parse(const char *text, struct network_policy *ret, struct error *err)
{
    network_policy_init(ret);
    cleanup_json json *j = json_parse_object(text, strlen(text), err);
    return j == NULL ? -EINVAL : network_policy_read(j, ret, err);
}

static void print_rules(struct jsonw *w, const char *key, const struct network_rules *l)
{
    jsonw_key(w, key);
    jsonw_array(w);
    for (size_t i = 0; i < l->count; i++)
        jsonw_str(w, l->items[i]);
    jsonw_array_end(w);
}

void network_policy_print(struct jsonw *w, const struct network_policy *p, uint32_t fallback)
{
    uint32_t otherwise = p->otherwise != 0 ? p->otherwise : fallback;
    jsonw_object(w);
    if (otherwise != 0)
        jsonw_key_str(w, "default", policy_defaults[otherwise]);
    print_rules(w, "allow", &p->allow);
    print_rules(w, "deny", &p->deny);
    jsonw_key(w, "transforms");
    network_transforms_print(w, &p->transforms);
    jsonw_key(w, "proxy");
    jsonw_null(w);
    jsonw_key_str(w, "log", policy_logs[p->log]);
    jsonw_key(w, "limits");
    jsonw_object(w);
    jsonw_key_int(w, "flows", p->limits.flows);
    jsonw_key_int(w, "new_names_per_min", p->limits.names);
    jsonw_key_int(w, "bytes_per_s", (int64_t)p->limits.bytes_per_sec);
    jsonw_object_end(w);
    jsonw_object_end(w);
}
