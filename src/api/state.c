/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - sandboxes as values: pause, resume, and what becomes of one that nobody looks after. */
#include <string.h>

#include "api/snapshot.h"
#include "api/wake.h"

#define STATE_MAX_IDLE_S (365 * 86400)

/* --- of a create --- */

static int life_parse_timeout(struct api_call *call, struct sandbox_life *ret, struct error *err)
{
    const char *action = NULL;
    int rv = json_get_str(call->body, "on_timeout", ret->pause_at_timeout ? "pause" : "kill",
                          &action, err);
    if (rv < 0)
        return rv;
    ret->pause_at_timeout = strcmp(action, "pause") == 0;
    if (!ret->pause_at_timeout && strcmp(action, "kill") != 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'on_timeout' must be kill or pause");
    return 0;
}

int api_life_check(struct api_call *call, const struct sandbox_life *life, struct error *err)
{
    bool pauses = life->pause_at_timeout || life->idle_s > 0;
    if (!pauses || sandbox_table_can_pause(call->api->sandboxes))
        return 0;
    return error_set(err, ERROR_UNSUPPORTED, "Sandboxes of this server cannot be paused");
}

int api_life_parse(struct api_call *call, struct sandbox_life *ret, struct error *err)
{
    const struct config *c = call->api->config;
    int64_t idle = 0;
    ret->pause_at_timeout = c->on_timeout == CONFIG_TIMEOUT_PAUSE;
    int rv = life_parse_timeout(call, ret, err);
    if (rv == 0)
        rv = json_get_bool(call->body, "auto_resume", c->auto_resume, &ret->auto_resume, err);
    if (rv == 0)
        rv = json_get_int(call->body, "idle_timeout", c->idle_pause, 0, STATE_MAX_IDLE_S, &idle,
                          err);
    if (rv == 0)
        ret->idle_s = (unsigned int)idle;
    return rv < 0 ? rv : api_life_check(call, ret, err);
}

/* --- one sandbox --- */

static void write_life(struct jsonw *w, const struct sandbox *sb)
{
    bool paused = sb->paused_ms != 0 && sb->phase < SANDBOX_STOPPING;
    jsonw_object(w);
    jsonw_key_str(w, "sandbox_id", sb->id);
    jsonw_key_str(w, "template", sb->template_name);
    jsonw_key_str(w, "state", paused ? "paused" : sandbox_status_str(sb->status));
    jsonw_key_str(w, "on_timeout", sb->owner.life.pause_at_timeout ? "pause" : "kill");
    jsonw_key_bool(w, "auto_resume", sb->owner.life.auto_resume);
    jsonw_key_int(w, "idle_timeout", sb->owner.life.idle_s);
    if (paused) {
        jsonw_key_time(w, "paused_at", sb->paused_ms);
        jsonw_key_time(w, "expires_at", sb->timeout_at_ms);
        jsonw_key_int(w, "disk_bytes", (int64_t)sb->disk_bytes);
    }
    jsonw_object_end(w);
}

static void reply_life(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    write_life(&w, call->sandbox);
    api_reply(call, 200, &body);
}

void api_sandbox_lifecycle(struct api_call *call)
{
    reply_life(call);
}

void api_sandbox_pause(struct api_call *call)
{
    api_sandbox_put_away(call, reply_life);
}

/* A body is welcome and not needed. */
void api_sandbox_resume(struct api_call *call)
{
    struct error err;
    int64_t seconds = 0;
    const struct buf *body = &call->req->body;
    cleanup_json json *fields = body->len > 0 ? json_parse_object(body->data, body->len, &err)
                                              : NULL;
    if ((body->len > 0 && fields == NULL) ||
        (fields != NULL &&
         json_get_int(fields, "timeout", 0, 0, config_timeout_max(call->api->config), &seconds,
                      &err) < 0)) {
        api_fail(call, &err);
        return;
    }
    api_sandbox_bring_back(call, (unsigned int)seconds, reply_life);
}

void api_sandbox_rollback(struct api_call *call)
{
    struct error err;
    const char *name = NULL;
    if (json_need_str(call->body, "snapshot", &name, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    const struct snapshot *sn = api_snapshot_named(call, name);
    if (sn == NULL)
        return;
    if (sn->kind != SNAPSHOT_MEMORY &&
        sandbox_capture_kind(call->api->sandboxes) == SNAPSHOT_MEMORY)
        api_fail_code(call, ERROR_UNSUPPORTED, "The snapshot is of files alone: create from it");
    else if (strcmp(sn->sandbox_id, call->sandbox->id) != 0)
        api_fail_code(call, ERROR_CONFLICT, "The snapshot is of another sandbox: create from it");
    else
        api_sandbox_roll_back(call, sn->dir, reply_life);
}

/* --- all that are paused --- */

struct paused_list {
    struct api_list list;
    unsigned int n;
    uint64_t bytes;
};

static void write_paused(void *ctx, struct sandbox *sb)
{
    struct paused_list *l = ctx;
    if (sb->phase != SANDBOX_PAUSED)
        return;
    if (api_list_shows(&l->list, l->n))
        write_life(&l->list.w, sb);
    l->n++;
    l->bytes += sb->disk_bytes;
}

void api_sandbox_paused(struct api_call *call)
{
    struct paused_list l = {.n = 0};
    api_list_begin(call, &l.list, "sandboxes");
    (void)sandbox_table_list(call->api->sandboxes, call->principal.account, 0, UINT32_MAX, NULL,
                             write_paused, &l);
    jsonw_array_end(&l.list.w);
    jsonw_key_int(&l.list.w, "total", l.n);
    jsonw_key_int(&l.list.w, "disk_bytes", (int64_t)l.bytes);
    jsonw_object_end(&l.list.w);
    api_reply(call, 200, &l.list.body);
}
