/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - templates: list, get, those that are made of snapshots, and the wait of a create for
 * one that is being built. */
#include <errno.h>
#include <stdlib.h>

#include "api/snapshot.h"
#include "template/builder.h"

/* Published clients give up after a minute. */
#define TEMPLATE_WAIT_MS 50000

/* What a template shows of itself, whatever it was made of. */
struct template_face {
    const char *id, *name, *description;
    unsigned int vcpus, memory_mb, disk_mb;
    int64_t created_ms, updated_ms;
};

static void write_fields(struct jsonw *w, const struct template_face *f)
{
    jsonw_key_str(w, "id", f->id);
    jsonw_key_str(w, "name", f->name);
    jsonw_key_str(w, "description", f->description);
    jsonw_key_int(w, "vcpu_count", f->vcpus);
    jsonw_key_int(w, "memory_mb", f->memory_mb);
    jsonw_key_int(w, "disk_size_mb", f->disk_mb);
    jsonw_key_str(w, "visibility", "public");
    jsonw_key_time(w, "created_at", f->created_ms);
    jsonw_key_time(w, "updated_at", f->updated_ms);
}

static struct template_face face_of(const struct template *t)
{
    return (struct template_face){t->id,        t->name,    t->description, t->vcpus,
                                  t->memory_mb, t->disk_mb, t->created_ms,  t->updated_ms};
}

static struct template_face face_of_shared(const struct snapshot *sn)
{
    return (struct template_face){sn->id,        sn->name,    sn->description, sn->vcpus,
                                  sn->memory_mb, sn->disk_mb, sn->created_ms,  sn->updated_ms};
}

static void write_element(struct jsonw *w, struct template_face face)
{
    jsonw_object(w);
    write_fields(w, &face);
    jsonw_object_end(w);
}

void api_template_write(struct jsonw *w, const struct template *t)
{
    write_element(w, face_of(t));
}

void api_template_write_shared(struct jsonw *w, const struct snapshot *sn)
{
    write_element(w, face_of_shared(sn));
}

static void write_or_null(struct jsonw *w, const char *key, const char *text)
{
    jsonw_key(w, key);
    if (text != NULL && text[0] != '\0')
        jsonw_str(w, text);
    else
        jsonw_null(w);
}

/* --- made of snapshots --- */

static void reply_shared(struct api_call *call, int status, const struct snapshot *sn)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct template_face face = face_of_shared(sn);
    jsonw_object(&w);
    write_fields(&w, &face);
    jsonw_key_str(&w, "status", "ready");
    write_or_null(&w, "phase", NULL);
    write_or_null(&w, "build_log", NULL);
    jsonw_key(&w, "source");
    jsonw_object(&w);
    jsonw_key_str(&w, "snapshot_id", sn->origin_id);
    jsonw_key_str(&w, "sandbox_id", sn->sandbox_id);
    jsonw_key_str(&w, "template", sn->template_name);
    jsonw_key_str(&w, "kind", snapshot_kind_str(sn->kind));
    jsonw_key_str(&w, "driver", sn->driver);
    jsonw_key_int(&w, "disk_bytes", (int64_t)sn->bytes);
    jsonw_key_int(&w, "children", api_snapshot_children(call, sn));
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    api_reply(call, status, &body);
}

/* The one that the path names. NULL: the call is answered. */
static struct snapshot *template_shared(struct api_call *call)
{
    struct snapshot *sn = snapshots_find(call->api->snapshots, NULL, call->params[0]);
    if (sn == NULL)
        api_fail_code(call, ERROR_TEMPLATE_NOT_FOUND, "Template not found");
    return sn;
}

/* On the heap, as it may outlive the request. */
struct promotion {
    struct api_call *call; /* NULL: the client has gone */
};

static void promotion_cancel(struct api_call *call)
{
    struct promotion *p = call->state;
    p->call = NULL;
}

static void promotion_kept(void *ctx, struct snapshot *sn, const struct error *err)
{
    struct promotion *p = ctx;
    struct api_call *call = p->call;
    free(p);
    if (call == NULL)
        return;
    call->cancel = NULL;
    if (err != NULL)
        api_fail(call, err);
    else
        reply_shared(call, 201, sn);
}

static int promotion_parse(struct api_call *call, const char **name, const char **description,
                           const struct snapshot **ret, struct error *err)
{
    const char *from = NULL;
    int rv = json_need_str(call->body, "name", name, err);
    if (rv == 0)
        rv = json_need_str(call->body, "snapshot", &from, err);
    if (rv == 0)
        rv = json_get_str(call->body, "description", NULL, description, err);
    if (rv < 0)
        return rv;
    *ret = snapshots_find(call->api->snapshots, call->principal.account, from);
    if (*ret == NULL)
        return error_set(err, ERROR_SNAPSHOT_NOT_FOUND, "Snapshot not found");
    if (template_find(call->api->templates, *name) != NULL)
        return error_set(err, ERROR_CONFLICT, "There is a template '%.100s'", *name);
    if (*description == NULL)
        *description = (*ret)->description;
    return 0;
}

void api_template_promote(struct api_call *call)
{
    struct error err;
    const char *name = NULL, *description = NULL;
    const struct snapshot *from = NULL;
    if (promotion_parse(call, &name, &description, &from, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    struct promotion *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
    } else if (snapshot_share(from, name, description, promotion_kept, p, &err) == NULL) {
        free(p);
        api_fail(call, &err);
    } else {
        p->call = call;
        call->state = p;
        call->cancel = promotion_cancel;
    }
}

static void template_deleted(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Template deleted");
    jsonw_key_str(&w, "template", call->params[0]);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* One that is built has its files for sandboxes that run on them, which only the host's operator
 * can judge. */
void api_template_delete(struct api_call *call)
{
    if (template_find(call->api->templates, call->params[0]) != NULL) {
        api_fail_code(call, ERROR_UNSUPPORTED,
                      "A template that was built is removed on the host: corrald template remove");
        return;
    }
    struct snapshot *sn = template_shared(call);
    if (sn != NULL)
        api_snapshot_remove(call, sn, template_deleted);
}

/* Published clients are strict about the elements of the list, so what a build does is told here
 * alone. */
void api_template_get(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct template *t = template_find(call->api->templates, call->params[0]);
    if (t == NULL) {
        const struct snapshot *sn = template_shared(call);
        if (sn != NULL)
            reply_shared(call, 200, sn);
        return;
    }
    const struct template_face face = face_of(t);
    jsonw_object(&w);
    write_fields(&w, &face);
    jsonw_key_str(&w, "status", template_builder_status(t));
    write_or_null(&w, "phase", t->build.phase);
    write_or_null(&w, "build_log", t->build.log);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* A create that waits. In the request's arena; `call->state` points to it. */
struct template_pending {
    struct template_wait wait;
    struct api_call *call;
    const struct template *t;
    void (*again)(struct api_call *call);
};

static void fail_unbuilt(struct api_call *call, const struct template *t, const struct error *err)
{
    cleanup_buf struct buf details = {0};
    struct jsonw w = {.out = &details};
    call->retry_after_s = template_builder_retry_s(call->api->templates->builder, t);
    jsonw_object(&w);
    jsonw_key_str(&w, "template", t->name);
    jsonw_key_str(&w, "status", template_builder_status(t));
    write_or_null(&w, "phase", t->build.phase);
    write_or_null(&w, "build_log", t->build.log);
    jsonw_object_end(&w);
    api_fail_details(call, err, buf_cstr(&details));
}

static void pending_cancel(struct api_call *call)
{
    struct template_pending *p = call->state;
    list_del(&p->wait.node);
}

static void pending_done(struct template_wait *w, const struct error *err)
{
    struct template_pending *p = container_of(w, struct template_pending, wait);
    struct api_call *call = p->call;
    call->state = NULL;
    call->cancel = NULL;
    if (err != NULL)
        fail_unbuilt(call, p->t, err);
    else
        p->again(call);
}

bool api_template_ready(struct api_call *call, const struct template *t,
                        void (*again)(struct api_call *call))
{
    struct error err;
    if (t->built)
        return true;
    struct template_pending *p = arena_alloc(&call->req->arena, sizeof(*p));
    if (p == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return false;
    }
    *p = (struct template_pending){.wait.done = pending_done, .call = call, .t = t, .again = again};
    call->state = p;
    call->cancel = pending_cancel;
    if (template_builder_wait(call->api->templates->builder, t, &p->wait, TEMPLATE_WAIT_MS, &err) <
        0) {
        call->state = NULL;
        call->cancel = NULL;
        fail_unbuilt(call, t, &err);
    }
    return false;
}

struct template_listing {
    struct api_list page;
    unsigned int seen;
};

static void listing_shared(void *ctx, struct snapshot *sn)
{
    struct template_listing *l = ctx;
    if (api_list_shows(&l->page, l->seen++))
        api_template_write_shared(&l->page.w, sn);
}

/* Its end is not api_list_end's: the published answer has limit and offset, and no total. */
void api_template_list(struct api_call *call)
{
    struct template_listing l = {.seen = 0};
    struct jsonw *w = &l.page.w;
    api_list_begin(call, &l.page, "templates");
    list_for_each (it, &call->api->templates->templates) {
        const struct template *t = list_entry(it, struct template, node);
        if (t->present && api_list_shows(&l.page, l.seen++))
            api_template_write(w, t);
    }
    snapshots_each(call->api->snapshots, NULL, listing_shared, &l);
    jsonw_array_end(w);
    jsonw_key_int(w, "limit", l.page.limit);
    jsonw_key_int(w, "offset", l.page.offset);
    jsonw_object_end(w);
    api_reply(call, 200, &l.page.body);
}
