/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment.c - /api/v1/sandbox/environments: sandboxes under the name that the gateway's API
 * gives them. The id is env- and the digits of the sandbox's UUID, so no table maps one to the
 * other.
 *
 * A create is answered before the sandbox runs, because clients of this API poll. Execute waits for
 * it instead of refusing, as part of its time-out.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "api/api.h"
#include "sandbox/capture.h"
#include "sandbox/environment_id.h"
#include "workflow/exec.h"

#define ENV_MAX_NAME   256 /* bytes */
#define EXEC_TIMEOUT_S 30
#define EXEC_LANGUAGE  64 /* bytes */

static void write_environment(struct jsonw *w, const struct sandbox *sb)
{
    char id[ENVIRONMENT_ID_SIZE];
    jsonw_object(w);
    jsonw_key_str(w, "environment_id", environment_id(id, sb->id));
    jsonw_key(w, "name");
    if (sb->owner.name != NULL)
        jsonw_str(w, sb->owner.name);
    else
        jsonw_null(w);
    jsonw_key_str(w, "template", sb->template_name);
    jsonw_key_str(w, "status", sandbox_status_str(sb->status));
    jsonw_key_time(w, "creation_time", sb->created_ms);
    jsonw_key_time(w, "timeout_at", sb->timeout_at_ms);
    jsonw_key_time(w, "ended_at", sb->ended_ms);
    jsonw_object_end(w);
}

/* The environment of the path, if it belongs to the account. NULL: the request has its answer. */
static struct sandbox *find_environment(struct api_call *call)
{
    char id[ID_SIZE];
    struct sandbox *sb = NULL;
    if (environment_parse(id, call->params[0]) == 0)
        sb = sandbox_table_find(call->api->sandboxes, id);
    if (sb == NULL)
        api_fail_code(call, ERROR_ENVIRONMENT_NOT_FOUND, "Environment not found");
    else if (strcmp(sb->owner.account, call->principal.account) != 0)
        api_fail_code(call, ERROR_FORBIDDEN, "The environment belongs to another account");
    else
        return sb;
    return NULL;
}

static int parse_name(struct api_call *call, const char **ret, struct error *err)
{
    int rv = json_need_str(call->body, "name", ret, err);
    size_t len = rv == 0 ? strlen(*ret) : 0;
    bool plain = len > 0 && len <= ENV_MAX_NAME;
    for (size_t i = 0; i < len && plain; i++)
        plain = !iscntrl((unsigned char)(*ret)[i]);
    if (rv == 0 && !plain)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field 'name' must have 1 to %d bytes and no control characters",
                         ENV_MAX_NAME);
    return rv;
}

static int parse_environment(struct api_call *call, struct sandbox_params *p,
                             const struct template **template, struct error *err)
{
    const struct config *config = call->api->config;
    const char *name = NULL;
    int rv = parse_name(call, &p->name, err);
    if (rv == 0)
        rv = json_get_str(call->body, "template", config->template_default, &name, err);
    if (rv == 0)
        rv = api_sandbox_time(call, config->timeout_default, &p->timeout_s, err);
    if (rv < 0)
        return rv;
    p->account = call->principal.account;
    p->provider = p->region = "local";
    p->metadata = "{}";
    *template = sandbox_capture_named(call->api->sandboxes, name, p, err);
    return *template != NULL ? 0 : -EINVAL;
}

struct created {
    char id[ENVIRONMENT_ID_SIZE];
    int64_t created_ms;
};

/* Says "creating" even when it runs by now: clients that poll expect to start from there. */
static void environment_committed(struct api_call *call)
{
    const struct created *c = call->state;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "environment_id", c->id);
    jsonw_key_str(&w, "status", sandbox_status_str(SANDBOX_STATUS_CREATING));
    jsonw_key_time(&w, "creation_time", c->created_ms);
    jsonw_object_end(&w);
    api_reply(call, 201, &body);
}

void api_environment_create(struct api_call *call)
{
    struct error err;
    struct sandbox_params params = {0};
    const struct template *template = NULL;
    struct sandbox *sb = NULL;
    struct created *c = arena_alloc(&call->req->arena, sizeof(*c));
    int rv = c != NULL ? parse_environment(call, &params, &template, &err)
                       : error_set(&err, ERROR_INTERNAL, "Out of memory");
    if (rv == 0)
        sb = sandbox_table_create(call->api->sandboxes, template, &params, NULL, &err);
    if (sb == NULL) {
        api_fail(call, &err);
        return;
    }
    (void)environment_id(c->id, sb->id);
    c->created_ms = sb->created_ms;
    call->state = c;
    api_when_committed(call, environment_committed);
}

void api_environment_list(struct api_call *call)
{
    api_list_sandboxes(call, "environments", write_environment);
}

void api_environment_get(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct sandbox *sb = find_environment(call);
    if (sb == NULL)
        return;
    write_environment(&w, sb);
    api_reply(call, 200, &body);
}

/* A delete under way; the environment ends whether or not the client waits. */
struct removal {
    struct sandbox_wait wait;
    struct api_call *call;
    char id[ENVIRONMENT_ID_SIZE];
};

static void delete_cancel(struct api_call *call)
{
    struct removal *d = call->state;
    list_del(&d->wait.node);
}

static void delete_committed(struct api_call *call)
{
    const struct removal *d = call->state;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Environment deleted successfully");
    jsonw_key_str(&w, "environment_id", d->id);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

static void delete_ended(struct sandbox_wait *w, struct sandbox *sb, const struct error *err)
{
    struct removal *d = container_of(w, struct removal, wait);
    api_when_committed(d->call, delete_committed);
}

void api_environment_delete(struct api_call *call)
{
    struct sandbox *sb = find_environment(call);
    if (sb == NULL)
        return;
    struct removal *d = arena_alloc(&call->req->arena, sizeof(*d));
    if (d == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    if (sb->phase >= SANDBOX_STOPPING) {
        struct error err;
        error_set(&err, ERROR_INVALID_STATE, "Environment is already %s",
                  sandbox_status_str(sb->status));
        api_fail(call, &err);
        return;
    }
    d->call = call;
    d->wait.done = delete_ended;
    (void)environment_id(d->id, sb->id);
    call->state = d;
    call->cancel = delete_cancel;
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, &d->wait);
}

static void write_output_text(struct jsonw *w, const char *key, const struct buf *text)
{
    jsonw_key(w, key);
    jsonw_strn(w, (const char *)text->data, text->len);
}

static void write_raised(struct jsonw *w, const struct wf_exec_result *r)
{
    jsonw_key(w, "error");
    if (r->name.len == 0) {
        jsonw_null(w);
        return;
    }
    jsonw_object(w);
    write_output_text(w, "name", &r->name);
    write_output_text(w, "value", &r->value);
    write_output_text(w, "traceback", &r->traceback);
    jsonw_object_end(w);
}

static void execute_cancel(struct api_call *call)
{
    wf_exec_cancel(call->state);
}

static void execute_done(void *ctx, struct wf_exec_result *r)
{
    struct api_call *call = ctx;
    char id[24] = "exec_";
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    if (r->failed) {
        api_fail(call, &r->err);
        return;
    }
    id_token(id + 5, 12);
    jsonw_object(&w);
    jsonw_key_str(&w, "execution_id", id);
    jsonw_key_str(&w, "status", r->exit_code == 0 ? "completed" : "failed");
    write_output_text(&w, "stdout", &r->out);
    write_output_text(&w, "stderr", &r->err_out);
    if (r->has_result) {
        write_output_text(&w, "result", &r->result);
    } else {
        jsonw_key(&w, "result");
        jsonw_null(&w);
    }
    write_raised(&w, r);
    jsonw_key_int(&w, "exit_code", r->exit_code);
    jsonw_key_int(&w, "duration_ms", r->duration_ms);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

static int parse_execute(struct api_call *call, struct wf_exec_params *p, struct error *err)
{
    int64_t max = api_run_time_max(call), seconds = 0;
    int rv = json_need_str(call->body, "code", &p->code, err);
    if (rv == 0)
        rv = json_get_str(call->body, "language", "python", &p->language, err);
    if (rv == 0)
        rv = json_get_int(call->body, "timeout", 0, 0, max, &seconds, err);
    if (rv == 0 && strlen(p->language) > EXEC_LANGUAGE)
        rv = error_set(err, ERROR_UNSUPPORTED_LANGUAGE, "Unknown language");
    p->timeout_ms = (unsigned int)(seconds == 0 ? MIN(max, EXEC_TIMEOUT_S) : seconds) * 1000;
    p->limit = (size_t)call->api->config->max_output;
    return rv;
}

void api_environment_execute(struct api_call *call)
{
    struct error err;
    struct wf_exec_params params = {0};
    struct wf_exec *x = NULL;
    struct sandbox *sb = find_environment(call);
    if (sb == NULL)
        return;
    if (parse_execute(call, &params, &err) == 0)
        x = wf_exec_start(sb, &params, execute_done, call, &err);
    if (x == NULL) {
        api_fail(call, &err);
        return;
    }
    call->state = x;
    call->cancel = execute_cancel;
}
