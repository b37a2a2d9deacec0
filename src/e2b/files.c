/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - the plain HTTP of envd: files as bodies, and how the sandbox is. */
#include "base/timefmt.h"
#include "e2b/internal.h"

static void files_read(struct api_call *call)
{
    struct error err;
    const char *path = e2b_query(call->req, "path");
    if (path == NULL)
        path = "";
    path = e2b_path(call, path, &err);
    if (path != NULL)
        api_download_from(call, path);
    else
        api_fail(call, &err);
}

static void files_write(struct api_call *call)
{
    struct error err;
    const char *path = e2b_query(call->req, "path");
    if (path != NULL && path[0] != '\0') {
        path = e2b_path(call, path, &err);
        if (path == NULL) {
            api_fail(call, &err);
            return;
        }
    }
    api_upload_to(call, path);
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

static const struct api_route files_routes[] = {
    {METHOD_GET, "/health", API_SANDBOX | API_RUNNING, SCOPE_READ, e2b_reply_nothing},
    {METHOD_GET, "/metrics", API_SANDBOX | API_RUNNING, SCOPE_READ, files_metrics},
    {METHOD_GET, "/envs", API_SANDBOX | API_RUNNING, SCOPE_READ, e2b_reply_empty},
    {METHOD_GET, "/files", API_SANDBOX | API_RUNNING, SCOPE_READ, files_read},
    {METHOD_POST, "/files", API_SANDBOX | API_RUNNING | API_STREAM, SCOPE_RUN, files_write,
     api_upload_data, api_upload_end},
};

static const struct api_surface files_surface = {.admit = e2b_admit_files, .fail = e2b_fail_data};
const struct e2b_plane e2b_files_plane = {files_routes, ARRAY_SIZE(files_routes), &files_surface};

const struct api_surface e2b_port_surface = {.admit = e2b_admit_port, .fail = e2b_fail_data};
