/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - templates: list, get, and the wait of a create for one that is being built. */
#include <errno.h>

#include "api/api.h"
#include "template/builder.h"

/* Published clients give up after a minute. */
#define TEMPLATE_WAIT_MS 50000

static void write_template_fields(struct jsonw *w, const struct template *t)
{
    jsonw_key_str(w, "id", t->id);
    jsonw_key_str(w, "name", t->name);
    jsonw_key_str(w, "description", t->description);
    jsonw_key_int(w, "vcpu_count", t->vcpus);
    jsonw_key_int(w, "memory_mb", t->memory_mb);
    jsonw_key_int(w, "disk_size_mb", t->disk_mb);
    jsonw_key_str(w, "visibility", "public");
    jsonw_key_time(w, "created_at", t->created_ms);
    jsonw_key_time(w, "updated_at", t->updated_ms);
}

void api_template_write(struct jsonw *w, const struct template *t)
{
    jsonw_object(w);
    write_template_fields(w, t);
    jsonw_object_end(w);
}

static void write_or_null(struct jsonw *w, const char *key, const char *text)
{
    jsonw_key(w, key);
    if (text != NULL && text[0] != '\0')
        jsonw_str(w, text);
    else
        jsonw_null(w);
}

/* Published clients are strict about the elements of the list, so what a build does is told here
 * alone. */
void api_template_get(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct template *t = template_find(call->api->templates, call->params[0]);
    if (t == NULL) {
        api_fail_code(call, ERROR_TEMPLATE_NOT_FOUND, "Template not found");
        return;
    }
    jsonw_object(&w);
    write_template_fields(&w, t);
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

void api_template_list(struct api_call *call)
{
    unsigned int limit, offset, seen = 0;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    api_paging(call, &limit, &offset);
    jsonw_object(&w);
    jsonw_key(&w, "templates");
    jsonw_array(&w);
    list_for_each (it, &call->api->templates->templates) {
        const struct template *t = list_entry(it, struct template, node);
        if (!t->present)
            continue;
        if (seen >= offset && seen - offset < limit)
            api_template_write(&w, t);
        seen++;
    }
    jsonw_array_end(&w);
    jsonw_key_int(&w, "limit", limit);
    jsonw_key_int(&w, "offset", offset);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}
