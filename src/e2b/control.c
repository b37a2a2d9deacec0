/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - the control plane: sandboxes are created, found, lengthened and ended.
 *
 * A sandbox is what the API's own clients know, under other names. What has ended is not found.
 * What is paused is found, and only a connect brings it back: that of old clients is /resume.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/snapshot.h"
#include "api/wake.h"
#include "base/num.h"
#include "base/timefmt.h"
#include "e2b/filter.h"
#include "e2b/internal.h"

#define CONTROL_TIMEOUT_S   300   /* of a sandbox whose client names none */
#define CONTROL_TIMEOUT_MAX 86400 /* s */
#define CONTROL_PAGE        100   /* sandboxes of a list, at most and when the client names none */
#define CONTROL_TEMPLATE    "python-base-v1"
#define CONTROL_CLIENT      "corral" /* of whom the answer wants an id, and there is none */

/* --- what a sandbox is --- */

/* Names of the templates that these clients ask for by default. */
static const char *control_template_name(const char *name)
{
    static const char *const aliases[] = {"base", "code-interpreter-v1"};
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
        if (strcmp(name, aliases[i]) == 0)
            return CONTROL_TEMPLATE;
    }
    return name;
}

/* Ports of the sandbox are at <port>-<id>.<this>. */
static void control_domain(struct jsonw *w, const struct api_call *call)
{
    char text[300];
    const struct config *c = call->api->config;
    uint16_t usual = call->req->secure ? 443 : 80;
    if (c->listen.port == usual)
        (void)snprintf(text, sizeof(text), "%s", c->domain);
    else
        (void)snprintf(text, sizeof(text), "%s:%u", c->domain, c->listen.port);
    jsonw_key_str(w, "domain", text);
}

static void control_token(struct jsonw *w, const struct api_call *call, const char *key,
                          const char *purpose, const struct sandbox *sb)
{
    char token[GRANT_TOKEN_SIZE];
    grant_token(&call->api->grants, purpose, sb->id, token);
    jsonw_key_str(w, key, token);
}

static void control_names(struct jsonw *w, const struct api_call *call, const struct sandbox *sb)
{
    jsonw_key_str(w, "templateID", sb->template_name);
    jsonw_key_str(w, "alias", sb->template_name);
    jsonw_key_str(w, "sandboxID", sb->id);
    jsonw_key_str(w, "clientID", CONTROL_CLIENT);
    jsonw_key_str(w, "envdVersion", E2B_ENVD_VERSION);
    control_domain(w, call);
}

static void control_details(struct jsonw *w, const struct api_call *call, const struct sandbox *sb)
{
    jsonw_object(w);
    control_names(w, call, sb);
    jsonw_key_time(w, "startedAt", sb->started_ms);
    jsonw_key_time(w, "endAt", sb->timeout_at_ms);
    jsonw_key_str(w, "state", sandbox_is_paused(sb) ? "paused" : "running");
    jsonw_key_int(w, "cpuCount", sb->vcpus);
    jsonw_key_int(w, "memoryMB", sb->memory_mb);
    jsonw_key_int(w, "diskSizeMB", sb->disk_mb);
    jsonw_key(w, "metadata");
    jsonw_raw(w, sb->owner.metadata, strlen(sb->owner.metadata));
    jsonw_key(w, "lifecycle");
    jsonw_object(w);
    jsonw_key_bool(w, "autoResume", sb->owner.life.auto_resume);
    jsonw_key_str(w, "onTimeout", sb->owner.life.pause_at_timeout ? "pause" : "kill");
    jsonw_object_end(w);
    jsonw_object_end(w);
}

void e2b_write_access(struct jsonw *w, const struct api_call *call, const struct sandbox *sb)
{
    jsonw_object(w);
    control_names(w, call, sb);
    control_token(w, call, "envdAccessToken", GRANT_ENVD, sb);
    control_token(w, call, "trafficAccessToken", GRANT_TRAFFIC, sb);
    jsonw_object_end(w);
}

/* The answer of a create, and of all that gives a client access to a sandbox. */
static void control_reply_access(struct api_call *call, int status, const struct sandbox *sb)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    e2b_write_access(&w, call, sb);
    api_reply(call, status, &body);
}

/* --- create --- */

int e2b_timeout(struct api_call *call, const char *field, unsigned int *ret, struct error *err)
{
    int64_t seconds = 0;
    int rv = json_get_int(call->body, field, CONTROL_TIMEOUT_S, 0, CONTROL_TIMEOUT_MAX, &seconds,
                          err);
    *ret = (unsigned int)seconds;
    return rv;
}

/* What would lose the client's data if it were ignored. */
static int control_refuse(struct api_call *call, struct error *err)
{
    const json *mounts = NULL;
    int rv = json_get_array(call->body, "volumeMounts", &mounts, err);
    if (rv == 0 && cJSON_GetArraySize(mounts) > 0)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'volumeMounts' is not supported");
    return rv;
}

/* What these clients call it; the rest is as the server has it. */
static int control_life(struct api_call *call, struct sandbox_life *ret, struct error *err)
{
    const json *resume = NULL;
    int rv = api_life_parse(call, ret, err);
    if (rv == 0)
        rv = json_get_bool(call->body, "autoPause", ret->pause_at_timeout, &ret->pause_at_timeout,
                           err);
    if (rv == 0)
        rv = json_get_object(call->body, "autoResume", &resume, err);
    if (rv == 0 && resume != NULL)
        rv = json_get_bool(resume, "enabled", ret->auto_resume, &ret->auto_resume, err);
    return rv < 0 ? rv : api_life_check(call, ret, err);
}

static int control_parse_create(struct api_call *call, struct sandbox_params *p,
                                const struct template **t, struct buf *metadata,
                                struct buf *network, char ***env, struct error *err)
{
    const char *name = NULL;
    int rv = json_need_str(call->body, "templateID", &name, err);
    if (rv == 0)
        rv = e2b_timeout(call, "timeout", &p->timeout_s, err);
    if (rv == 0 && p->timeout_s == 0)
        p->timeout_s = CONTROL_TIMEOUT_S;
    if (rv == 0)
        rv = api_get_env(call->body, "envVars", env, err);
    if (rv == 0)
        rv = api_sandbox_metadata(call, metadata, err);
    if (rv == 0)
        rv = control_refuse(call, err);
    if (rv == 0)
        rv = control_life(call, &p->life, err);
    if (rv == 0)
        rv = e2b_network_parse(call, network, &p->network, err);
    if (rv < 0)
        return rv;
    p->account = call->principal.account;
    *t = sandbox_capture_named(call->api->sandboxes, control_template_name(name), p, err);
    if (*t == NULL)
        return -EINVAL;
    p->provider = "e2b";
    p->region = "";
    p->env = *env;
    p->metadata = (const char *)metadata->data;
    return 0;
}

static void control_create(struct api_call *call)
{
    struct error err;
    struct sandbox_params params = {0};
    const struct template *template = NULL;
    cleanup_buf struct buf metadata = {0}, network = {0};
    cleanup_free char **env = NULL;
    if (control_parse_create(call, &params, &template, &metadata, &network, &env, &err) < 0)
        api_fail(call, &err);
    else if (api_template_ready(call, template, control_create))
        api_sandbox_start(call, template, &params, control_reply_access);
}

/* --- one sandbox --- */

static void control_get(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    control_details(&w, call, call->sandbox);
    api_reply(call, 200, &body);
}

static void control_kill(struct api_call *call)
{
    api_sandbox_end(call, e2b_reply_nothing);
}

static void control_connected(struct api_call *call)
{
    control_reply_access(call, 200, call->sandbox);
}

/* Moves the end of the sandbox; only to a later time unless `shorten`. */
static void control_lengthen(struct api_call *call, const char *field, bool shorten,
                             void (*reply)(struct api_call *call))
{
    struct error err;
    unsigned int seconds = 0;
    if (e2b_timeout(call, field, &seconds, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    int64_t at_ms = call->sandbox->timeout_at_ms; /* 0: never */
    if (shorten || (at_ms != 0 && time_now_ms() + (int64_t)seconds * 1000 > at_ms))
        sandbox_set_timeout(call->sandbox, seconds);
    api_when_committed(call, reply);
}

static void control_resumed(struct api_call *call)
{
    control_reply_access(call, 201, call->sandbox);
}

static void control_connect(struct api_call *call)
{
    struct error err;
    unsigned int seconds = 0;
    if (!sandbox_is_paused(call->sandbox))
        control_lengthen(call, "timeout", false, control_connected);
    else if (e2b_timeout(call, "timeout", &seconds, &err) < 0)
        api_fail(call, &err);
    else
        api_sandbox_bring_back(call, seconds, control_resumed);
}

static void control_pause(struct api_call *call)
{
    api_sandbox_put_away(call, e2b_reply_nothing);
}

static void control_set_timeout(struct api_call *call)
{
    struct error err;
    if (json_need(call->body, "timeout", &err) < 0)
        api_fail(call, &err);
    else
        control_lengthen(call, "timeout", true, e2b_reply_nothing);
}

static void control_refresh(struct api_call *call)
{
    control_lengthen(call, "duration", false, e2b_reply_nothing);
}

/* One sample, of now: the past is not kept. */
static void control_metrics(struct api_call *call)
{
    static const struct e2b_usage_names names = {"cpuCount", "cpuUsedPct", "memTotal",
                                                 "memUsed",  "diskUsed",   "diskTotal"};
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    int64_t now = time_now_ms();
    jsonw_array(&w);
    jsonw_object(&w);
    jsonw_key_time(&w, "timestamp", now);
    jsonw_key_int(&w, "timestampUnix", now / 1000);
    jsonw_key_int(&w, "memCache", 0);
    if (!e2b_write_usage(call, &w, &names))
        return;
    jsonw_object_end(&w);
    jsonw_array_end(&w);
    api_reply(call, 200, &body);
}

static void control_alias(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct template *t = template_find(call->api->templates,
                                             control_template_name(call->params[0]));
    if (t == NULL) {
        api_fail_code(call, ERROR_TEMPLATE_NOT_FOUND, "Template not found");
        return;
    }
    jsonw_object(&w);
    jsonw_key_str(&w, "templateID", t->name);
    jsonw_key_bool(&w, "public", true);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* --- lists --- */

struct control_list {
    bool running, paused;         /* what is asked for */
    json *pairs;                  /* owned; NULL: any metadata */
    const char *template;         /* name; NULL: any */
    const struct sandbox **found; /* owned; newest first */
    size_t n, cap;
};

static void control_collect(void *ctx, struct sandbox *sb)
{
    struct control_list *l = ctx;
    bool wanted = sandbox_is_paused(sb) ? l->paused : l->running && sandbox_is_running(sb);
    if (!wanted || !e2b_filter_matches(l->pairs, sb->owner.metadata) ||
        (l->template != NULL && strcmp(l->template, sb->template_name) != 0))
        return;
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        const struct sandbox **found = reallocarray(l->found, cap, sizeof(struct sandbox *));
        if (found == NULL)
            return;
        l->found = found;
        l->cap = cap;
    }
    l->found[l->n++] = sb;
}

/* The sandboxes that the query asks for; false: the request has its answer. */
static bool control_find(struct api_call *call, const char *state, struct control_list *l)
{
    const char *form = http_form_query(call->req, "metadata");
    const char *template = http_form_query(call->req, "template");
    *l = (struct control_list){0};
    if (template != NULL && template[0] != '\0')
        l->template = control_template_name(template);
    if (form != NULL && form[0] != '\0') {
        l->pairs = e2b_filter_parse(form);
        if (l->pairs == NULL) {
            api_fail_code(call, ERROR_INVALID_ARGUMENT, "Query parameter 'metadata' is broken");
            return false;
        }
    }
    l->running = e2b_filter_state(state, "running");
    l->paused = e2b_filter_state(state, "paused");
    (void)sandbox_table_list(call->api->sandboxes, call->principal.account, 0, UINT32_MAX, NULL,
                             control_collect, l);
    return true;
}

static void control_list_done(struct control_list *l)
{
    free(l->found);
    json_free_p(&l->pairs);
}

/* Newest first, and those of one moment by their id. */
static int control_compare(const void *a, const void *b)
{
    const struct sandbox *x = *(const struct sandbox *const *)a;
    const struct sandbox *y = *(const struct sandbox *const *)b;
    if (x->created_ms != y->created_ms)
        return x->created_ms > y->created_ms ? -1 : 1;
    return strcmp(x->id, y->id);
}

static int control_compare_up(const void *a, const void *b)
{
    return control_compare(b, a);
}

/* A page begins behind the sandbox that the last one ended with: "<when it was created>.<id>". That
 * one may have ended meanwhile. */
static size_t control_page_start(const struct control_list *l, const char *token, bool ascending)
{
    struct sandbox last = {0};
    const struct sandbox *key = &last;
    size_t from = 0;
    if (sscanf(token, "%" SCNd64 ".%36s", &last.created_ms, last.id) != 2)
        return 0;
    while (from < l->n && control_compare(&l->found[from], &key) * (ascending ? -1 : 1) <= 0)
        from++;
    return from;
}

static void control_write_list(struct api_call *call, const struct control_list *l, size_t from,
                               size_t to)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_array(&w);
    for (size_t i = from; i < to; i++)
        control_details(&w, call, l->found[i]);
    jsonw_array_end(&w);
    api_reply(call, 200, &body);
}

static void control_page(struct api_call *call)
{
    struct control_list l;
    int64_t limit = CONTROL_PAGE;
    char next[64];
    const char *text = http_form_query(call->req, "limit"),
               *order = http_form_query(call->req, "order");
    const char *token = http_form_query(call->req, "nextToken");
    bool ascending = order != NULL && strcmp(order, "asc") == 0;
    if (text != NULL && num_parse(text, 1, INT32_MAX, &limit) < 0) {
        api_fail_code(call, ERROR_INVALID_ARGUMENT, "Query parameter 'limit' is no number");
        return;
    }
    if (!control_find(call, http_form_query(call->req, "state"), &l))
        return;
    if (l.n > 0)
        qsort(l.found, l.n, sizeof(*l.found), ascending ? control_compare_up : control_compare);
    size_t from = token != NULL ? control_page_start(&l, token, ascending) : 0;
    size_t to = from + MIN(l.n - from, (size_t)MIN(limit, (int64_t)CONTROL_PAGE));
    if (to < l.n && to > from) {
        const struct sandbox *last = l.found[to - 1];
        (void)snprintf(next, sizeof(next), "%" PRId64 ".%s", last->created_ms, last->id);
        (void)http_add_header(call->req, "X-Next-Token", next);
    }
    control_write_list(call, &l, from, to);
    control_list_done(&l);
}

/* Of old clients, which know no paused ones. */
static void control_list_all(struct api_call *call)
{
    struct control_list l;
    if (!control_find(call, "running", &l))
        return;
    control_write_list(call, &l, 0, l.n);
    control_list_done(&l);
}

#define ONE  (API_SANDBOX | API_RUNNING | API_STILL)
#define ANY  (API_SANDBOX | API_LIVE)
#define BODY API_JSON

static const struct api_route control_routes[] = {
    {METHOD_POST, "/v2/sandboxes", BODY, SCOPE_RUN, control_create},
    {METHOD_POST, "/sandboxes", BODY, SCOPE_RUN, control_create},
    {METHOD_GET, "/v2/sandboxes", 0, SCOPE_READ, control_page},
    {METHOD_GET, "/sandboxes", 0, SCOPE_READ, control_list_all},
    {METHOD_GET, "/sandboxes/:id", ANY, SCOPE_READ, control_get},
    {METHOD_DELETE, "/sandboxes/:id", ANY, SCOPE_RUN, control_kill},
    {METHOD_POST, "/v2/sandboxes/:id/connect", ANY | BODY, SCOPE_RUN, control_connect},
    {METHOD_POST, "/sandboxes/:id/connect", ANY | BODY, SCOPE_RUN, control_connect},
    {METHOD_POST, "/sandboxes/:id/resume", ANY | BODY, SCOPE_RUN, control_connect},
    {METHOD_POST, "/sandboxes/:id/timeout", ONE | BODY, SCOPE_RUN, control_set_timeout},
    {METHOD_POST, "/sandboxes/:id/refreshes", ONE | BODY, SCOPE_RUN, control_refresh},
    {METHOD_GET, "/sandboxes/:id/metrics", ONE, SCOPE_READ, control_metrics},
    {METHOD_GET, "/sandboxes/:id/logs", ONE, SCOPE_READ, e2b_logs_lines},
    {METHOD_GET, "/v2/sandboxes/:id/logs", ONE, SCOPE_READ, e2b_logs},
    {METHOD_PUT, "/sandboxes/:id/network", ONE | BODY, SCOPE_RUN, e2b_network_put},
    {METHOD_POST, "/sandboxes/:id/pause", ANY, SCOPE_RUN, control_pause},
    {METHOD_POST, "/sandboxes/:id/snapshots", ANY | BODY, SCOPE_RUN, e2b_snapshot_create},
    {METHOD_POST, "/sandboxes/:id/fork", ANY | BODY, SCOPE_RUN, e2b_fork},
    {METHOD_GET, "/snapshots", 0, SCOPE_READ, e2b_snapshot_list},
    {METHOD_DELETE, "/templates/:id", 0, SCOPE_RUN, e2b_snapshot_delete},
    {METHOD_GET, "/templates/aliases/:alias", 0, SCOPE_READ, control_alias},
};

static const struct api_surface control_surface = {.fail = e2b_fail_control};
const struct e2b_plane e2b_control_plane = {control_routes, ARRAY_SIZE(control_routes),
                                            &control_surface};
