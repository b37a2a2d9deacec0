/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.c - sandboxes under the name of runtimes: create, list, get, connect, pause and resume,
 * time-out, kill; and what they start from. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "api/network.h"
#include "api/snapshot.h"
#include "api/ties.h"
#include "api/wake.h"
#include "gravix/internal.h"

#define RUNTIME_TEMPLATE "base-small"
#define RUNTIME_MAX_NAME 256 /* bytes of cloud and region */

/* --- what a runtime is --- */

static const char *runtime_status(const struct sandbox *sb)
{
    return sandbox_is_paused(sb) ? "paused" : sandbox_status_str(sb->status);
}

void gravix_runtime_write(struct jsonw *w, const struct sandbox *sb)
{
    const char *cloud = sb->owner.provider, *region = sb->owner.region;
    jsonw_object(w);
    jsonw_key_str(w, "runtime_id", sb->id);
    jsonw_key_str(w, "status", runtime_status(sb));
    jsonw_key_str(w, "template", sb->template_name);
    jsonw_key_str(w, "template_id", sb->template_id);
    jsonw_key_str(w, "cloud", cloud != NULL ? cloud : ""); /* of one that has ended it is dropped */
    jsonw_key_str(w, "region", region != NULL ? region : "");
    jsonw_key_time(w, "started_at", sb->started_ms);
    jsonw_key_time(w, "timeout_at", sb->timeout_at_ms);
    jsonw_key_time(w, "ended_at", sb->ended_ms);
    jsonw_key_int(w, "cpu_count", sb->vcpus);
    jsonw_key_int(w, "memory_mb", sb->memory_mb);
    jsonw_key_int(w, "disk_size_mb", sb->disk_mb);
    jsonw_key(w, "metadata");
    api_sandbox_write_metadata(w, sb);
    jsonw_key_bool(w, "ssh_enabled", false);
    jsonw_object_end(w);
}

static void runtime_reply(struct api_call *call, int status, const struct sandbox *sb)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    gravix_runtime_write(&w, sb);
    api_reply(call, status, &body);
}

struct sandbox *gravix_runtime_named(struct api_call *call, const char *id)
{
    char parsed[ID_SIZE];
    struct sandbox *sb = id_parse(parsed, id) == 0
                             ? sandbox_table_find(call->api->sandboxes, parsed)
                             : NULL;
    if (sb == NULL || strcmp(sb->owner.account, call->principal.account) != 0) {
        api_fail_code(call, ERROR_SANDBOX_NOT_FOUND, "Runtime not found");
        return NULL;
    }
    return sb;
}

/* --- templates --- */

/* "python-3.12-base-small" and its like name a language and its version; what this server has of
 * the language is what they get, the version itself if there is one. */
static const struct template *runtime_alias(const struct api_call *call, const char *name)
{
    static const struct {
        const char *prefix, *name;
    } aliases[] = {
        {"python-3.9-", "python-3.9"},
        {"base-", "python-base-v1"},
        {"python-", "python-base-v1"},
        {"node-", "javascript-base-v1"},
    };
    assert(name != NULL); /* a parameter of the path, or a default */
    size_t len = strlen(name), suffix = strlen("base-small");
    if (len < suffix || strcmp(name + len - suffix, "base-small") != 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
        if (strncmp(name, aliases[i].prefix, strlen(aliases[i].prefix)) != 0)
            continue;
        const struct template *t = template_find(call->api->templates, aliases[i].name);
        if (t != NULL)
            return t;
    }
    return NULL;
}

static const struct template *runtime_template(const struct api_call *call, const char *name,
                                               struct error *err)
{
    const struct template *t = template_find(call->api->templates, name);
    if (t == NULL)
        t = runtime_alias(call, name);
    if (t == NULL)
        error_set(err, ERROR_TEMPLATE_NOT_FOUND, "Template '%.100s' not found", name);
    return t;
}

void gravix_template_get(struct api_call *call)
{
    struct error err;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct template *t = runtime_template(call, call->params[0], &err);
    const struct snapshot *sn = snapshots_find(call->api->snapshots, NULL, call->params[0]);
    if (t == NULL && sn == NULL) {
        api_fail(call, &err);
        return;
    }
    if (t != NULL)
        api_template_write(&w, t);
    else
        api_template_write_shared(&w, sn);
    api_reply(call, 200, &body);
}

void gravix_template_snapshot(struct api_call *call)
{
    struct error err;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct template *t = runtime_template(call, call->params[0], &err);
    if (t == NULL) {
        api_fail(call, &err);
        return;
    }
    jsonw_object(&w);
    jsonw_key_str(&w, "template_id", t->id);
    jsonw_key_bool(&w, "has_snapshot", t->kvm == TEMPLATE_KVM_WARM);
    jsonw_key_str(&w, "name", t->name);
    jsonw_key_str(&w, "description", t->description);
    jsonw_key_int(&w, "vcpu_count", t->vcpus);
    jsonw_key_int(&w, "memory_mb", t->memory_mb);
    jsonw_key_time(&w, "created_at", t->created_ms);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* --- create --- */

int gravix_runtime_time(struct api_call *call, const char *field, unsigned int *ret,
                        struct error *err)
{
    const struct config *c = call->api->config;
    int64_t seconds = 0;
    int64_t max = config_timeout_max(c);
    int rv = json_get_int(call->body, field, 0, 0, max, &seconds, err);
    if (seconds > 0)
        *ret = (unsigned int)seconds;
    else
        *ret = c->endless || c->timeout_max == 0 ? SANDBOX_NO_TIMEOUT : (unsigned int)max;
    return rv;
}

static int runtime_label(struct api_call *call, const char *field, const char **ret,
                         struct error *err)
{
    int rv = json_get_str(call->body, field, "", ret, err);
    if (rv == 0 && strlen(*ret) > RUNTIME_MAX_NAME)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' exceeds %d bytes", field,
                         RUNTIME_MAX_NAME);
    return rv;
}

/* What the server does not offer, and would be missed if it were ignored. */
static int runtime_refuse(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"mounts", "agent_id"};
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const json *value = cJSON_GetObjectItemCaseSensitive(call->body, fields[i]);
        bool empty = value == NULL || cJSON_IsNull(value) ||
                     (cJSON_IsArray(value) && cJSON_GetArraySize(value) == 0);
        if (!empty)
            return error_set(err, ERROR_UNSUPPORTED, "Field '%s' is not supported", fields[i]);
    }
    return 0;
}

/* `internet_access`: a client that says nothing gets what the server's option --egress says; what
 * it says holds whatever that is. */
static int runtime_internet(struct api_call *call, struct buf *text, const char **ret,
                            struct error *err)
{
    bool access = false;
    int rv = json_get_bool(call->body, "internet_access", false, &access, err);
    const json *said = cJSON_GetObjectItemCaseSensitive(call->body, "internet_access");
    if (rv < 0 || !cJSON_IsBool(said))
        return rv;
    return api_network_switch(call, access, text, ret, err);
}

/* The texts that the parameters point to. */
struct runtime_texts {
    struct buf metadata, network;
    struct ties_texts ties;
    char **env;
};

static void runtime_texts_done(struct runtime_texts *t)
{
    buf_done(&t->metadata);
    buf_done(&t->network);
    buf_done(&t->ties.ties);
    buf_done(&t->ties.network);
    free(t->env);
}

/* What it starts from. Beside a snapshot the template does not count. */
static int runtime_origin(struct api_call *call, struct sandbox_params *p,
                          const struct template **t, struct error *err)
{
    const char *template = NULL, *snapshot = NULL;
    int rv = json_get_str(call->body, "template", RUNTIME_TEMPLATE, &template, err);
    if (rv == 0)
        rv = json_get_str(call->body, "snapshot", NULL, &snapshot, err);
    if (rv < 0)
        return rv;
    if (snapshot == NULL || snapshot[0] == '\0') {
        *t = runtime_template(call, template, err);
        if (*t == NULL) /* one that was a snapshot */
            *t = sandbox_capture_named(call->api->sandboxes, template, p, err);
        return *t != NULL ? 0 : -EINVAL;
    }
    struct snapshot *sn = snapshots_find(call->api->snapshots, p->account, snapshot);
    if (sn == NULL)
        return error_set(err, ERROR_SNAPSHOT_NOT_FOUND, "There is no snapshot '%.100s'", snapshot);
    *t = sandbox_capture_use(call->api->sandboxes, sn, p, err);
    return *t != NULL ? 0 : -EINVAL;
}

static int runtime_parse(struct api_call *call, struct sandbox_params *p, struct runtime_texts *x,
                         const struct template **t, struct error *err)
{
    int rv = runtime_refuse(call, err);
    if (rv == 0)
        rv = runtime_internet(call, &x->network, &p->network, err);
    p->account = call->principal.account;
    if (rv == 0)
        rv = api_ties_parse(call, "network_policy_ids", "providers", p, &x->ties, err);
    if (rv == 0)
        rv = runtime_label(call, "cloud", &p->provider, err);
    if (rv == 0)
        rv = runtime_label(call, "region", &p->region, err);
    if (rv == 0)
        rv = gravix_runtime_time(call, "timeout", &p->timeout_s, err);
    if (rv == 0)
        rv = api_life_parse(call, &p->life, err);
    if (rv == 0)
        rv = api_get_env(call->body, "env_vars", &x->env, err);
    if (rv == 0)
        rv = api_sandbox_metadata(call, &x->metadata, err);
    if (rv < 0)
        return rv;
    p->env = x->env;
    p->metadata = (const char *)x->metadata.data;
    return runtime_origin(call, p, t, err);
}

/* A policy may have changed while the sandbox was on its way. */
static void runtime_created(struct api_call *call, int status, const struct sandbox *sb)
{
    struct sandbox *found = sandbox_table_find(call->api->sandboxes, sb->id);
    if (found != NULL && sandbox_is_running(found) && api_has_policies(found))
        api_ties_apply(call->api, found);
    runtime_reply(call, status, sb);
}

void gravix_runtime_create(struct api_call *call)
{
    struct error err;
    struct sandbox_params params = {0};
    struct runtime_texts texts = {.env = NULL};
    const struct template *template = NULL;
    if (runtime_parse(call, &params, &texts, &template, &err) < 0)
        api_fail(call, &err);
    else if (api_template_ready(call, template, gravix_runtime_create))
        api_sandbox_start(call, template, &params, runtime_created);
    runtime_texts_done(&texts);
}

/* --- one of them, and all --- */

void gravix_runtime_list(struct api_call *call)
{
    api_list_sandboxes(call, "runtimes", gravix_runtime_write);
}

void gravix_runtime_get(struct api_call *call)
{
    runtime_reply(call, 200, call->sandbox);
}

static void runtime_say(struct api_call *call, const char *message)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "runtime_id", call->sandbox->id);
    jsonw_key_str(&w, "status", runtime_status(call->sandbox));
    jsonw_key_str(&w, "domain", call->api->config->domain);
    jsonw_key_str(&w, "message", message);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* One that is paused stays so. */
void gravix_runtime_connect(struct api_call *call)
{
    runtime_say(call, "Connected to runtime");
}

static void runtime_paused(struct api_call *call)
{
    runtime_say(call, "Runtime paused");
}

void gravix_runtime_pause(struct api_call *call)
{
    api_sandbox_put_away(call, runtime_paused);
}

static void runtime_resumed(struct api_call *call)
{
    runtime_say(call, "Runtime resumed");
}

/* Its time-out begins anew, as it was created with. */
void gravix_runtime_resume(struct api_call *call)
{
    api_sandbox_bring_back(call, 0, runtime_resumed);
}

static void runtime_killed(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Runtime terminated successfully");
    jsonw_key_str(&w, "runtime_id", call->params[0]);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void gravix_runtime_kill(struct api_call *call)
{
    api_sandbox_end(call, runtime_killed);
}

static void runtime_lengthened(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const unsigned int *seconds = call->state;
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Timeout updated successfully");
    jsonw_key_int(&w, "timeout", *seconds == SANDBOX_NO_TIMEOUT ? 0 : *seconds);
    jsonw_key_time(&w, "timeout_at", call->sandbox->timeout_at_ms);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void gravix_runtime_timeout(struct api_call *call)
{
    struct error err;
    unsigned int *seconds = arena_alloc(&call->req->arena, sizeof(*seconds));
    int rv = json_need(call->body, "timeout", &err);
    if (rv == 0 && seconds == NULL)
        rv = error_set(&err, ERROR_INTERNAL, "Out of memory");
    if (rv == 0)
        rv = gravix_runtime_time(call, "timeout", seconds, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    call->state = seconds;
    sandbox_set_timeout(call->sandbox, *seconds);
    api_when_committed(call, runtime_lengthened);
}
