/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.c - sandboxes: create, list, get, kill, timeout.
 *
 * A create is answered when the sandbox runs and its record is on disk. The client may be gone by
 * then: its sandbox is ended unless an Idempotency-Key lets the client come back for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "api/api.h"
#include "api/network.h"
#include "api/wake.h"
#include "sandbox/capture.h"

#define SANDBOX_MAX_METADATA 16384 /* bytes of JSON text */
#define SANDBOX_MAX_LABEL    256   /* bytes of provider and region */

void api_sandbox_write_metadata(struct jsonw *w, const struct sandbox *sb)
{
    cleanup_buf struct buf text = {0};
    if (sandbox_table_metadata(sb, &text) == 0 && text.len > 0)
        jsonw_raw(w, (const char *)text.data, text.len);
    else
        jsonw_raw(w, "{}", 2); /* the disk cannot be read, which its own errors tell */
}

void api_sandbox_write(struct jsonw *w, const struct sandbox *sb)
{
    jsonw_object(w);
    jsonw_key_str(w, "sandbox_id", sb->id);
    jsonw_key_str(w, "template_id", sb->template_id);
    jsonw_key_str(w, "template", sb->template_name);
    jsonw_key_str(w, "status", sandbox_status_str(sb->status));
    jsonw_key_time(w, "started_at", sb->started_ms);
    jsonw_key_time(w, "ended_at", sb->ended_ms);
    jsonw_key_time(w, "timeout_at", sb->timeout_at_ms);
    jsonw_key(w, "metadata");
    api_sandbox_write_metadata(w, sb);
    jsonw_key_int(w, "cpu_count", sb->vcpus);
    jsonw_key_int(w, "memory_mb", sb->memory_mb);
    jsonw_object_end(w);
}

static void reply_sandbox(struct api_call *call, int status, const struct sandbox *sb)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    api_sandbox_write(&w, sb);
    api_reply(call, status, &body);
}

/* A create under way. In the request's arena; `call->state` points to it. */
struct create {
    struct sandbox_wait wait;
    struct api_call *call;
    struct sandbox *sb;
    void (*reply)(struct api_call *call, int status, const struct sandbox *sb);
};

static void create_running(struct sandbox_wait *w, struct sandbox *sb, const struct error *err);
static void create_committed(struct api_call *call);

/* The client went away and will never know the id, unless it asks again with the same key. */
static void create_cancel(struct api_call *call)
{
    struct create *c = call->state;
    list_del(&c->wait.node);
    if (c->sb->owner.idempotency_key == NULL)
        sandbox_end(c->sb, SANDBOX_STATUS_TERMINATED, "The client went away", NULL);
}

int api_sandbox_time(struct api_call *call, int64_t fallback, unsigned int *ret, struct error *err)
{
    const struct config *c = call->api->config;
    int64_t seconds = 0, max = config_timeout_max(c);
    int rv = json_get_int(call->body, "timeout", fallback, 0, UINT32_MAX, &seconds, err);
    if (rv == 0 && seconds == 0 && c->timeout_max != 0)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field 'timeout' must be 1 or more; 0, no time-out at all, needs a server "
                         "with --timeout-max 0");
    if (rv == 0 && seconds > max)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field 'timeout' must be at most %" PRId64
                         " s, which is the server's option --timeout-max",
                         max);
    *ret = seconds == 0 ? SANDBOX_NO_TIMEOUT : (unsigned int)seconds;
    return rv;
}

static int parse_label(struct api_call *call, const char *field, const char **ret,
                       struct error *err)
{
    int rv = json_need_str(call->body, field, ret, err);
    if (rv == 0 && ((*ret)[0] == '\0' || strlen(*ret) > SANDBOX_MAX_LABEL))
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' must have 1 to %d bytes", field,
                         SANDBOX_MAX_LABEL);
    return rv;
}

static int metadata_print(const json *metadata, struct buf *text, struct error *err)
{
    if (metadata != NULL)
        (void)json_print(text, metadata);
    else
        (void)buf_append_str(text, "{}");
    if (text->len > SANDBOX_MAX_METADATA)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'metadata' exceeds %d bytes",
                         SANDBOX_MAX_METADATA);
    return buf_cstr(text) != NULL ? 0 : error_set(err, ERROR_INTERNAL, "Out of memory");
}

int api_sandbox_metadata(struct api_call *call, struct buf *text, struct error *err)
{
    const json *metadata = NULL;
    int rv = json_get_object(call->body, "metadata", &metadata, err);
    return rv == 0 ? metadata_print(metadata, text, err) : rv;
}

int api_sandbox_metadata_over(struct api_call *call, const struct sandbox *sb, struct buf *text,
                              struct error *err)
{
    const json *metadata = NULL;
    cleanup_buf struct buf had = {0};
    int rv = json_get_object(call->body, "metadata", &metadata, err);
    if (rv == 0 && sandbox_table_metadata(sb, &had) < 0)
        rv = error_set(err, ERROR_STORAGE_FAILED, "The sandbox's metadata cannot be read");
    if (rv < 0)
        return rv;
    cleanup_json json *all = cJSON_Duplicate(metadata, true);
    cleanup_json json *old = json_parse_object(had.data, had.len, NULL);
    if (metadata != NULL && all == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    if (all != NULL && old != NULL)
        json_merge_missing(all, old);
    return metadata_print(all != NULL ? all : old, text, err);
}

static int parse_create(struct api_call *call, struct sandbox_params *p,
                        const struct template **template, struct buf *metadata, char ***env,
                        struct buf *network, struct error *err)
{
    const char *name = NULL;
    p->account = call->principal.account;
    int rv = parse_label(call, "provider", &p->provider, err);
    if (rv == 0)
        rv = parse_label(call, "region", &p->region, err);
    if (rv == 0)
        rv = json_get_str(call->body, "template", call->api->config->template_default, &name, err);
    if (rv == 0)
        rv = api_sandbox_time(call, call->api->config->timeout_default, &p->timeout_s, err);
    if (rv == 0)
        rv = api_get_env(call->body, "env_vars", env, err);
    if (rv == 0)
        rv = api_sandbox_metadata(call, metadata, err);
    if (rv == 0)
        rv = api_network_parse(call, network, &p->network, err);
    if (rv == 0)
        rv = api_life_parse(call, &p->life, err);
    if (rv < 0)
        return rv;
    *template = sandbox_capture_named(call->api->sandboxes, name, p, err);
    if (*template == NULL)
        return -EINVAL;
    rv = api_sandbox_size(call, *template, p, err);
    p->env = *env;
    p->metadata = (const char *)metadata->data;
    return rv;
}

static uint64_t hash_bytes(const uint8_t *data, size_t len)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 1099511628211u;
    return hash;
}

/* The header Idempotency-Key: a create that is sent again gets the sandbox of the first one. True
 * when that is the answer, now or when that sandbox runs. */
static bool create_repeats(struct create *c, struct sandbox_params *params)
{
    struct api_call *call = c->call;
    const struct http_str *key = http_header(call->req, "Idempotency-Key");
    if (key == NULL || key->len == 0)
        return false;
    if (key->len > SANDBOX_MAX_LABEL) {
        api_fail_code(call, ERROR_INVALID_ARGUMENT, "The Idempotency-Key is too long");
        return true;
    }
    params->idempotency_key = key->data;
    params->request_hash = hash_bytes(call->req->body.data, call->req->body.len);
    c->sb = sandbox_table_find_key(call->api->sandboxes, params->account, key->data);
    if (c->sb == NULL)
        return false;
    if (c->sb->owner.request_hash != params->request_hash) {
        api_fail_code(call, ERROR_CONFLICT, "The Idempotency-Key was used for another request");
    } else if (c->sb->phase < SANDBOX_RUNNING) {
        list_add_tail(&c->sb->run_waits, &c->wait.node);
        call->state = c;
        call->cancel = create_cancel;
    } else {
        c->reply(call, 201, c->sb);
    }
    return true;
}

void api_sandbox_create(struct api_call *call)
{
    struct error err;
    struct sandbox_params params = {0};
    const struct template *template = NULL;
    cleanup_buf struct buf metadata = {0}, network = {0};
    cleanup_free char **env = NULL;
    if (parse_create(call, &params, &template, &metadata, &env, &network, &err) < 0)
        api_fail(call, &err);
    else if (api_template_ready(call, template, api_sandbox_create))
        api_sandbox_start(call, template, &params, reply_sandbox);
}

void api_sandbox_start(struct api_call *call, const struct template *t,
                       struct sandbox_params *params,
                       void (*reply)(struct api_call *call, int status, const struct sandbox *sb))
{
    struct error err;
    struct create *c = arena_alloc(&call->req->arena, sizeof(*c));
    if (c == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    c->call = call;
    c->reply = reply;
    c->wait.done = create_running;
    if (create_repeats(c, params))
        return;
    c->sb = sandbox_table_create(call->api->sandboxes, t, params, &c->wait, &err);
    if (c->sb == NULL) {
        api_fail(call, &err);
    } else if (call->req->status == 0) { /* it may have failed, and been answered, already */
        call->state = c;
        call->cancel = create_cancel;
    }
}

static void create_running(struct sandbox_wait *w, struct sandbox *sb, const struct error *err)
{
    struct create *c = container_of(w, struct create, wait);
    if (err != NULL)
        api_fail(c->call, err);
    else
        api_when_committed(c->call, create_committed);
}

static void create_committed(struct api_call *call)
{
    struct create *c = call->state;
    c->reply(call, 201, c->sb);
}

void api_sandbox_list(struct api_call *call)
{
    api_list_sandboxes(call, "sandboxes", api_sandbox_write);
}

void api_sandbox_get(struct api_call *call)
{
    const char *trouble = sandbox_trouble(call->sandbox);
    if (trouble[0] != '\0') /* the documented keys have no place for it */
        (void)http_add_header(call->req, "X-Corral-Reason", trouble);
    reply_sandbox(call, 200, call->sandbox);
}

/* A kill under way; `call->state` points to it. The sandbox ends whether or not the client waits.
 */
struct kill {
    struct sandbox_wait wait;
    struct api_call *call;
    char id[ID_SIZE];
    void (*reply)(struct api_call *call);
};

static void kill_cancel(struct api_call *call)
{
    struct kill *k = call->state;
    list_del(&k->wait.node);
}

static void kill_committed(struct api_call *call)
{
    struct kill *k = call->state;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Sandbox terminated successfully");
    jsonw_key_str(&w, "sandbox_id", k->id);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

static void kill_ended(struct sandbox_wait *w, struct sandbox *sb, const struct error *err)
{
    struct kill *k = container_of(w, struct kill, wait);
    api_when_committed(k->call, k->reply);
}

void api_sandbox_kill(struct api_call *call)
{
    api_sandbox_end(call, kill_committed);
}

void api_sandbox_end(struct api_call *call, void (*reply)(struct api_call *call))
{
    struct sandbox *sb = call->sandbox;
    if (sb->phase >= SANDBOX_STOPPING) {
        struct error err;
        error_set(&err, ERROR_INVALID_STATE, "Sandbox is already %s",
                  sandbox_status_str(sb->status));
        api_fail(call, &err);
        return;
    }
    struct kill *k = arena_alloc(&call->req->arena, sizeof(*k));
    if (k == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    k->call = call;
    k->reply = reply;
    k->wait.done = kill_ended;
    memcpy(k->id, sb->id, sizeof(k->id));
    call->state = k;
    call->cancel = kill_cancel;
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, &k->wait);
}

static void timeout_committed(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const int64_t *seconds = call->state;
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Timeout updated successfully");
    jsonw_key_int(&w, "timeout", *seconds);
    jsonw_key_time(&w, "timeout_at", call->sandbox->timeout_at_ms);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void api_sandbox_timeout(struct api_call *call)
{
    struct error err;
    unsigned int seconds = 0;
    int64_t *kept = arena_alloc(&call->req->arena, sizeof(*kept));
    int rv = json_need(call->body, "timeout", &err);
    if (rv == 0)
        rv = api_sandbox_time(call, 0, &seconds, &err);
    if (rv == 0 && kept == NULL)
        rv = error_set(&err, ERROR_INTERNAL, "Out of memory");
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    *kept = seconds == SANDBOX_NO_TIMEOUT ? 0 : seconds;
    call->state = kept;
    sandbox_set_timeout(call->sandbox, seconds);
    api_when_committed(call, timeout_committed);
}
