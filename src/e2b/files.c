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
    struct error err;
    struct sandbox *sb = call->sandbox;
    struct instance_stats stats = {0};
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    double cpu = 0;
    if (api_sandbox_usage(sb, &stats, &cpu, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    int64_t disk = (int64_t)sb->disk_mb << 20;
    jsonw_object(&w);
    jsonw_key_int(&w, "ts", time_now_ms() / 1000);
    jsonw_key_int(&w, "cpu_count", sb->vcpus);
    jsonw_key(&w, "cpu_used_pct");
    jsonw_fixed(&w, cpu);
    jsonw_key_int(&w, "mem_total", (int64_t)sb->memory_mb << 20);
    jsonw_key_int(&w, "mem_used", (int64_t)stats.memory_bytes);
    jsonw_key_int(&w, "disk_used", MIN((int64_t)stats.disk_write, disk));
    jsonw_key_int(&w, "disk_total", disk);
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
