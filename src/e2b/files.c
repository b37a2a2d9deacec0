/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - the plain HTTP of envd: files as bodies, and how the sandbox is. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/timefmt.h"
#include "e2b/internal.h"

static void files_read(struct api_call *call)
{
    struct error err;
    const char *path = http_form_query(call->req, "path");
    if (path == NULL)
        path = "";
    path = e2b_path(call, path, &err);
    if (path != NULL)
        api_download_from(call, path);
    else
        api_fail(call, &err);
}

#define NOTES_HEADER "X-Metadata-"

/* One note: an attribute, and a member of the answer. False: out of memory. */
static bool files_note(struct arena *arena, const struct http_header *header, char **attribute,
                       struct jsonw *w)
{
    size_t skip = strlen(NOTES_HEADER);
    char *key = arena_strndup(arena, header->name.data + skip, header->name.len - skip);
    for (char *p = key; p != NULL && *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    *attribute = key != NULL ? arena_printf(arena, E2B_NOTES_SPACE "%s=%s", key, header->value.data)
                             : NULL;
    if (*attribute != NULL)
        jsonw_key_str(w, key, header->value.data);
    return *attribute != NULL;
}

/* What the headers of an upload say of its files. */
static int files_notes(struct api_call *call, struct api_notes *ret, struct error *err)
{
    struct http_request *req = call->req;
    size_t n = 0, prefix = strlen(NOTES_HEADER);
    cleanup_buf struct buf text = {0};
    struct jsonw w = {.out = &text};
    bool good = true;
    char **list = arena_alloc(&req->arena, (req->n_headers + 1) * sizeof(*list));
    *ret = (struct api_notes){0};
    jsonw_object(&w);
    for (unsigned int i = 0; list != NULL && good && i < req->n_headers; i++) {
        const struct http_str *name = &req->headers[i].name;
        if (name->len > prefix && strncasecmp(name->data, NOTES_HEADER, prefix) == 0)
            good = files_note(&req->arena, &req->headers[i], &list[n++], &w);
    }
    jsonw_object_end(&w);
    if (list != NULL && n == 0)
        return 0;
    if (list != NULL && good && buf_cstr(&text) != NULL) {
        list[n] = NULL;
        ret->attributes = list;
        ret->text = arena_strndup(&req->arena, (const char *)text.data, text.len);
    }
    return ret->text != NULL ? 0 : error_set(err, ERROR_INTERNAL, "Out of memory");
}

/* A path of the query wins; without one each part of the body names its own. */
static void files_write(struct api_call *call)
{
    struct error err;
    struct api_notes notes;
    const char *path = http_form_query(call->req, "path");
    bool raw = call->route->data == api_raw_upload_data;
    int rv = files_notes(call, &notes, &err);
    if (rv == 0 && raw && path == NULL)
        rv = error_set(&err, ERROR_INVALID_ARGUMENT, "Query parameter 'path' is required");
    if (rv == 0 && path != NULL && (path[0] != '\0' || raw)) {
        path = e2b_path(call, path, &err);
        rv = path != NULL ? 0 : -EINVAL;
    }
    if (rv < 0)
        api_fail(call, &err);
    else if (raw)
        api_raw_upload_to(call, path, &notes);
    else
        api_upload_to(call, path, &notes);
}

static void files_metrics(struct api_call *call)
{
    static const struct e2b_usage_names names = {"cpu_count", "cpu_used_pct", "mem_total",
                                                 "mem_used",  "disk_used",    "disk_total"};
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_int(&w, "ts", time_now_ms() / 1000);
    if (!e2b_write_usage(call, &w, &names))
        return;
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

#define UPLOAD (API_SANDBOX | API_RUNNING | API_STREAM)

static const struct api_route files_routes[] = {
    {METHOD_GET, "/health", API_SANDBOX | API_RUNNING | API_STILL, SCOPE_READ, e2b_reply_nothing},
    {METHOD_GET, "/metrics", API_SANDBOX | API_RUNNING | API_STILL, SCOPE_READ, files_metrics},
    {METHOD_GET, "/envs", API_SANDBOX | API_RUNNING, SCOPE_READ, e2b_reply_empty},
    {METHOD_GET, "/files", API_SANDBOX | API_RUNNING, SCOPE_READ, files_read},
    {METHOD_POST, "/files", UPLOAD, SCOPE_RUN, files_write, api_upload_data, api_upload_end},
};

const struct api_route e2b_raw_upload_route = {
    METHOD_POST, "/files", UPLOAD, SCOPE_RUN, files_write, api_raw_upload_data, api_raw_upload_end};

static const struct api_surface files_surface = {.admit = e2b_admit_files, .fail = e2b_fail_data};
const struct e2b_plane e2b_files_plane = {files_routes, ARRAY_SIZE(files_routes), &files_surface};

const struct api_surface e2b_port_surface = {.admit = e2b_admit_port, .fail = e2b_fail_data};
