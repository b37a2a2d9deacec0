/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - the catalog of snapshots, and forks of runtimes and of snapshots.
 *
 * These clients say hot of a snapshot with memory and cold of one without. A fork keeps no snapshot
 * unless it is told to; then the children begin with the one that is kept.
 */
#include "api/snapshot.h"

#include <string.h>
#include <strings.h>

#include "gravix/internal.h"

#define SNAPSHOT_LIST 20 /* elements of a page, unless the client says */

static const char *snapshot_word(enum snapshot_kind kind)
{
    return kind == SNAPSHOT_MEMORY ? "hot" : "cold";
}

static const char *const snapshot_sources[] = {
    [SNAPSHOT_OF_REQUEST] = "runtime", [SNAPSHOT_OF_FORK] = "fork"};

static const char *snapshot_state(const struct snapshot *sn)
{
    return sn->inactive ? "inactive" : "active";
}

static void snapshot_write(struct jsonw *w, const struct snapshot *sn)
{
    jsonw_object(w);
    jsonw_key_str(w, "id", sn->id);
    jsonw_key_str(w, "name", sn->name != NULL ? sn->name : "");
    jsonw_key_str(w, "description", sn->description);
    jsonw_key_str(w, "kind", snapshot_word(sn->kind));
    jsonw_key_str(w, "state", snapshot_state(sn));
    jsonw_key_bool(w, "is_active", !sn->inactive);
    jsonw_key_str(w, "cloud", sn->provider);
    jsonw_key_str(w, "region", sn->region);
    jsonw_key_int(w, "vcpu_count", sn->vcpus);
    jsonw_key_int(w, "memory_mb", sn->memory_mb);
    jsonw_key_int(w, "disk_size_mb", sn->disk_mb);
    jsonw_key_str(w, "visibility", "private");
    jsonw_key_str(w, "source", snapshot_sources[sn->source]);
    jsonw_key_str(w, "source_template_id", sn->template_id);
    jsonw_key_str(w, "source_runtime_id", sn->sandbox_id);
    jsonw_key_str(w, "distribution_status", "ready");
    jsonw_key_int(w, "size_bytes", (int64_t)sn->bytes);
    jsonw_key_time(w, "created_at", sn->created_ms);
    jsonw_key_time(w, "updated_at", sn->updated_ms);
    jsonw_key_time(w, "last_used_at", sn->used_ms);
    jsonw_object_end(w);
}

static void snapshot_reply(struct api_call *call, int status, const struct snapshot *sn)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    snapshot_write(&w, sn);
    api_reply(call, status, &body);
}

/* --- make --- */

static void snapshot_made(struct api_call *call, struct snapshot *sn)
{
    snapshot_reply(call, 201, sn);
}

/* The package, too, asks for a cold one unless it is told otherwise. */
static int snapshot_parse_kind(const struct api_call *call, struct capture_about *about,
                               struct error *err)
{
    about->files_only = true;
    return api_snapshot_parse_kind(call, snapshot_word, about, err);
}

void gravix_snapshot_create(struct api_call *call)
{
    struct error err;
    const char *runtime = NULL;
    struct capture_about about = {.source = SNAPSHOT_OF_REQUEST};
    int rv = json_need_str(call->body, "runtime_id", &runtime, &err);
    if (rv == 0)
        rv = json_need_str(call->body, "name", &about.name, &err);
    if (rv == 0)
        rv = json_get_str(call->body, "description", NULL, &about.description, &err);
    if (rv == 0)
        rv = snapshot_parse_kind(call, &about, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    call->sandbox = gravix_runtime_named(call, runtime);
    if (call->sandbox != NULL)
        api_snapshot_make(call, &about, snapshot_made);
}

/* --- list, get --- */

struct snapshot_listing {
    struct api_list list;
    const char *kind, *runtime, *state, *source; /* asked for; NULL: any */
    unsigned int n;
};

static bool snapshot_is(const char *wanted, const char *is)
{
    return wanted == NULL || wanted[0] == '\0' || strcasecmp(wanted, is) == 0;
}

static void snapshot_visit(void *ctx, struct snapshot *sn)
{
    struct snapshot_listing *l = ctx;
    if (!snapshot_is(l->kind, snapshot_word(sn->kind)) ||
        !snapshot_is(l->runtime, sn->sandbox_id) || !snapshot_is(l->state, snapshot_state(sn)) ||
        !snapshot_is(l->source, snapshot_sources[sn->source]))
        return;
    if (api_list_shows(&l->list, l->n))
        snapshot_write(&l->list.w, sn);
    l->n++;
}

/* What a fork has left is there for those who ask for it. */
void gravix_snapshot_list(struct api_call *call)
{
    struct snapshot_listing l = {.kind = http_form_query(call->req, "kind"),
                                 .runtime = http_form_query(call->req, "runtime_id"),
                                 .state = http_form_query(call->req, "state"),
                                 .source = http_form_query(call->req, "source")};
    if (l.source == NULL || l.source[0] == '\0')
        l.source = snapshot_sources[SNAPSHOT_OF_REQUEST];
    api_list_begin(call, &l.list, "snapshots");
    if (http_query(call->req, "limit") == NULL)
        l.list.limit = SNAPSHOT_LIST;
    snapshots_each(call->api->snapshots, call->principal.account, snapshot_visit, &l);
    jsonw_array_end(&l.list.w);
    jsonw_key_int(&l.list.w, "limit", l.list.limit);
    jsonw_key_int(&l.list.w, "offset", l.list.offset);
    jsonw_key_int(&l.list.w, "total", l.n);
    jsonw_object_end(&l.list.w);
    api_reply(call, 200, &l.list.body);
}

void gravix_snapshot_get(struct api_call *call)
{
    const struct snapshot *sn = api_snapshot_named(call, call->params[0]);
    if (sn != NULL)
        snapshot_reply(call, 200, sn);
}

/* --- change, remove --- */

/* Another request may have removed it by now. */
static void snapshot_changed(struct api_call *call)
{
    gravix_snapshot_get(call);
}

static void snapshot_switch(struct api_call *call, bool active)
{
    struct snapshot *sn = api_snapshot_named(call, call->params[0]);
    if (sn == NULL)
        return;
    if (snapshot_set_active(sn, active) < 0)
        api_fail_code(call, ERROR_STORAGE_FAILED, "The snapshot cannot be changed");
    else
        api_when_committed(call, snapshot_changed);
}

void gravix_snapshot_activate(struct api_call *call)
{
    snapshot_switch(call, true);
}

void gravix_snapshot_deactivate(struct api_call *call)
{
    snapshot_switch(call, false);
}

void gravix_snapshot_delete(struct api_call *call)
{
    struct snapshot *sn = api_snapshot_named(call, call->params[0]);
    if (sn != NULL)
        api_snapshot_remove(call, sn, gravix_succeeded);
}

/* --- fork --- */

static void forked_write_child(struct jsonw *w, const struct api_call *call,
                               const struct sandbox_fork_child *child)
{
    const struct sandbox *sb = api_fork_child(call, child);
    jsonw_object(w);
    if (sb != NULL) {
        jsonw_key(w, "runtime");
        gravix_runtime_write(w, sb);
    } else {
        jsonw_key_str(w, "error", child->err.message);
        jsonw_key_str(w, "code", error_name(child->err.code));
    }
    jsonw_object_end(w);
}

/* `parent` is an id; NULL: there is none. */
static void forked_write(struct api_call *call, const struct sandbox_fork *f, const char *parent)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key(&w, "children");
    jsonw_array(&w);
    for (unsigned int i = 0; i < f->count; i++)
        forked_write_child(&w, call, &f->children[i]);
    jsonw_array_end(&w);
    jsonw_key_str(&w, "snapshot_id", f->snapshot_id);
    jsonw_key_bool(&w, "snapshot_persisted", f->snapshot_id[0] != '\0');
    jsonw_key(&w, "parent_runtime_id");
    if (parent != NULL)
        jsonw_str(&w, parent);
    else
        jsonw_null(&w);
    jsonw_object_end(&w);
    api_reply(call, 201, &body);
}

/* Released with free of `ret->env`, also after a failure. What the children are not told of
 * metadata they have as `parent`, which may be NULL. */
static int fork_parse(struct api_call *call, const struct sandbox *parent, struct api_fork *ret,
                      struct error *err)
{
    cleanup_buf struct buf text = {0};
    int rv = api_fork_parse(call, ret, err);
    if (rv == 0 && json_need(call->body, "timeout_seconds", NULL) == 0)
        rv = gravix_runtime_time(call, "timeout_seconds", &ret->timeout_s, err);
    if (rv < 0 || parent == NULL)
        return rv;
    rv = api_sandbox_metadata_over(call, parent, &text, err);
    ret->metadata = rv == 0 ? arena_strndup(&call->req->arena, (const char *)text.data, text.len)
                            : NULL;
    return rv == 0 && ret->metadata == NULL ? error_set(err, ERROR_INTERNAL, "Out of memory") : rv;
}

static void fork_of_runtime(struct api_call *call, const struct sandbox_fork *f)
{
    forked_write(call, f, call->params[0]);
}

/* The snapshot stays, whatever becomes of the children. */
static void fork_kept(struct api_call *call, struct snapshot *sn)
{
    struct error err;
    struct api_fork fork = {0};
    const struct sandbox *parent = sandbox_table_find(call->api->sandboxes, sn->sandbox_id);
    int rv = parent != NULL && parent->phase < SANDBOX_STOPPING
                 ? fork_parse(call, parent, &fork, &err)
                 : error_set(&err, ERROR_SANDBOX_GONE, "The runtime has ended");
    if (rv == 0) {
        api_fork_snapshot(call, sn, &fork, parent, fork_of_runtime);
        return;
    }
    free((void *)fork.env);
    api_fail(call, &err);
}

void gravix_runtime_fork(struct api_call *call)
{
    struct error err;
    struct api_fork fork = {0};
    bool keep = false;
    struct capture_about about = {.source = SNAPSHOT_OF_FORK};
    int rv = fork_parse(call, call->sandbox, &fork, &err);
    if (rv == 0)
        rv = json_get_bool(call->body, "persist_snapshot", false, &keep, &err);
    if (rv == 0)
        rv = json_get_str(call->body, "name", NULL, &about.name, &err);
    if (rv == 0 && !keep) {
        api_fork_start(call, &fork, fork_of_runtime);
        return;
    }
    free((void *)fork.env); /* fork_kept reads them again */
    if (rv == 0)
        api_snapshot_make(call, &about, fork_kept);
    else
        api_fail(call, &err);
}

static void fork_of_snapshot(struct api_call *call, const struct sandbox_fork *f)
{
    forked_write(call, f, NULL);
}

void gravix_snapshot_fork(struct api_call *call)
{
    struct error err;
    struct api_fork fork = {0};
    struct snapshot *sn = api_snapshot_named(call, call->params[0]);
    if (sn == NULL)
        return;
    int rv = fork_parse(call, NULL, &fork, &err);
    if (rv == 0 && fork.timeout_s == 0)
        rv = gravix_runtime_time(call, "timeout_seconds", &fork.timeout_s, &err);
    if (rv == 0) {
        api_fork_snapshot(call, sn, &fork, NULL, fork_of_snapshot);
        return;
    }
    free((void *)fork.env);
    api_fail(call, &err);
}
