/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - templates: list. */
#include "api/api.h"

static void write_template(struct jsonw *w, const struct template *t)
{
    jsonw_object(w);
    jsonw_key_str(w, "id", t->id);
    jsonw_key_str(w, "name", t->name);
    jsonw_key_str(w, "description", t->description);
    jsonw_key_int(w, "vcpu_count", t->vcpus);
    jsonw_key_int(w, "memory_mb", t->memory_mb);
    jsonw_key_int(w, "disk_size_mb", t->disk_mb);
    jsonw_key_str(w, "visibility", "public");
    jsonw_key_time(w, "created_at", t->created_ms);
    jsonw_key_time(w, "updated_at", t->updated_ms);
    jsonw_object_end(w);
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
            write_template(&w, t);
        seen++;
    }
    jsonw_array_end(&w);
    jsonw_key_int(&w, "limit", limit);
    jsonw_key_int(&w, "offset", offset);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}
