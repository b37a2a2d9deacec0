/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - what a sandbox is at a moment as an object of its own: made, found, removed. */
#include "api/snapshot.h"

#include <string.h>
#include <strings.h>

unsigned int api_snapshot_children(const struct api_call *call, const struct snapshot *sn)
{
    unsigned int starting;
    return sandbox_capture_children(call->api->sandboxes, sn, &starting);
}

static void write_snapshot(struct jsonw *w, const struct api_call *call, const struct snapshot *sn)
{
    jsonw_object(w);
    jsonw_key_str(w, "snapshot_id", sn->id);
    jsonw_key(w, "name");
    if (sn->name != NULL)
        jsonw_str(w, sn->name);
    else
        jsonw_null(w);
    jsonw_key_str(w, "description", sn->description);
    jsonw_key_str(w, "kind", snapshot_kind_str(sn->kind));
    jsonw_key_str(w, "sandbox_id", sn->sandbox_id);
    jsonw_key_str(w, "template_id", sn->template_id);
    jsonw_key_str(w, "template", sn->template_name);
    jsonw_key_str(w, "driver", sn->driver);
    jsonw_key_int(w, "cpu_count", sn->vcpus);
    jsonw_key_int(w, "memory_mb", sn->memory_mb);
    jsonw_key_int(w, "disk_mb", sn->disk_mb);
    jsonw_key_int(w, "disk_bytes", (int64_t)sn->bytes);
    jsonw_key_int(w, "children", api_snapshot_children(call, sn));
    jsonw_key_bool(w, "active", !sn->inactive);
    jsonw_key_time(w, "created_at", sn->created_ms);
    jsonw_object_end(w);
}

static void reply_snapshot(struct api_call *call, int status, const struct snapshot *sn)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    write_snapshot(&w, call, sn);
    api_reply(call, status, &body);
}

/* --- make --- */

/* In the request's arena; `call->state` points to it. */
struct making {
    struct capture_wait wait;
    struct api_call *call;
    void (*reply)(struct api_call *call, struct snapshot *sn);
};

static void making_cancel(struct api_call *call)
{
    struct making *m = call->state;
    list_del(&m->wait.node);
}

static void making_done(struct capture_wait *w, struct sandbox *sb, struct snapshot *sn,
                        const struct error *err)
{
    struct making *m = container_of(w, struct making, wait);
    (void)sb;
    m->call->cancel = NULL;
    if (err != NULL)
        api_fail(m->call, err);
    else
        m->reply(m->call, sn);
}

void api_snapshot_make(struct api_call *call, const struct capture_about *about,
                       void (*reply)(struct api_call *call, struct snapshot *sn))
{
    struct error err;
    struct making *m = arena_alloc(&call->req->arena, sizeof(*m));
    if (m == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    *m = (struct making){.wait.done = making_done, .call = call, .reply = reply};
    list_init(&m->wait.node);
    if (sandbox_capture(call->sandbox, about, &m->wait, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    call->state = m;
    call->cancel = making_cancel;
}

int api_snapshot_take_kind(const struct api_call *call, enum snapshot_kind kind,
                           const char *(*word)(enum snapshot_kind kind),
                           struct capture_about *about, struct error *err)
{
    if (kind == SNAPSHOT_MEMORY && sandbox_capture_kind(call->api->sandboxes) == SNAPSHOT_DISK)
        return error_set(err, ERROR_UNSUPPORTED,
                         "Sandboxes of this server are containers, whose processes cannot be kept: "
                         "snapshots are of the kind %s",
                         word(SNAPSHOT_DISK));
    about->files_only = kind == SNAPSHOT_DISK;
    return 0;
}

int api_snapshot_parse_kind(const struct api_call *call,
                            const char *(*word)(enum snapshot_kind kind),
                            struct capture_about *about, struct error *err)
{
    const char *said = NULL;
    int rv = json_get_str(call->body, "kind", NULL, &said, err);
    if (rv < 0 || said == NULL)
        return rv;
    for (int k = 0; k < SNAPSHOT_KIND_COUNT; k++) {
        if (strcasecmp(said, word((enum snapshot_kind)k)) == 0)
            return api_snapshot_take_kind(call, (enum snapshot_kind)k, word, about, err);
    }
    return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'kind' must be %s or %s",
                     word(SNAPSHOT_DISK), word(SNAPSHOT_MEMORY));
}

static void make_reply(struct api_call *call, struct snapshot *sn)
{
    reply_snapshot(call, 201, sn);
}

void api_snapshot_create(struct api_call *call)
{
    struct error err;
    struct capture_about about = {.source = SNAPSHOT_OF_REQUEST};
    int rv = json_get_str(call->body, "name", NULL, &about.name, &err);
    if (rv == 0)
        rv = json_get_str(call->body, "description", NULL, &about.description, &err);
    if (rv == 0)
        rv = api_snapshot_parse_kind(call, snapshot_kind_str, &about, &err);
    if (rv < 0)
        api_fail(call, &err);
    else
        api_snapshot_make(call, &about, make_reply);
}

/* --- find --- */

struct snapshot *api_snapshot_named(struct api_call *call, const char *name)
{
    struct snapshot *sn = snapshots_find(call->api->snapshots, call->principal.account, name);
    if (sn == NULL)
        api_fail_code(call, ERROR_SNAPSHOT_NOT_FOUND, "Snapshot not found");
    return sn;
}

void api_snapshot_get(struct api_call *call)
{
    const struct snapshot *sn = api_snapshot_named(call, call->params[0]);
    if (sn != NULL)
        reply_snapshot(call, 200, sn);
}

struct listing_snapshots {
    struct api_list list;
    const struct api_call *call;
    const char *sandbox; /* only those of this one; NULL: all */
    unsigned int n;
    uint64_t bytes;
};

static void list_visit(void *ctx, struct snapshot *sn)
{
    struct listing_snapshots *l = ctx;
    if (l->sandbox != NULL && strcasecmp(l->sandbox, sn->sandbox_id) != 0)
        return;
    if (api_list_shows(&l->list, l->n))
        write_snapshot(&l->list.w, l->call, sn);
    l->n++;
    l->bytes += sn->bytes;
}

void api_snapshot_list(struct api_call *call)
{
    struct listing_snapshots l = {.call = call, .sandbox = http_query(call->req, "sandbox_id")};
    api_list_begin(call, &l.list, "snapshots");
    snapshots_each(call->api->snapshots, call->principal.account, list_visit, &l);
    jsonw_array_end(&l.list.w);
    jsonw_key_int(&l.list.w, "total", l.n);
    jsonw_key_int(&l.list.w, "disk_bytes", (int64_t)l.bytes);
    jsonw_object_end(&l.list.w);
    api_reply(call, 200, &l.list.body);
}

/* --- remove --- */

void api_snapshot_remove(struct api_call *call, struct snapshot *sn,
                         void (*reply)(struct api_call *call))
{
    struct error err;
    if (sandbox_capture_delete(call->api->sandboxes, sn, &err) < 0)
        api_fail(call, &err);
    else
        api_when_committed(call, reply);
}

static void remove_reply(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Snapshot deleted");
    jsonw_key_str(&w, "snapshot_id", call->state);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void api_snapshot_delete(struct api_call *call)
{
    struct snapshot *sn = api_snapshot_named(call, call->params[0]);
    if (sn == NULL)
        return;
    call->state = arena_strndup(&call->req->arena, sn->id, strlen(sn->id));
    if (call->state == NULL)
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
    else
        api_snapshot_remove(call, sn, remove_reply);
}
