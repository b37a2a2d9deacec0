/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - errors as each plane prints them, and the small answers that many share. */
#include <string.h>
#include <strings.h>

#include "api/path.h"
#include "base/base64.h"
#include "e2b/internal.h"
#include "stream/connect.h"

/* Clients read a number as `code`; `error` is what this server's own clients know. */
static void answer_error(struct api_call *call, int status, const struct error *err)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_int(&w, "code", status);
    jsonw_key_str(&w, "message", err->message);
    if (status == 502)
        jsonw_key_str(&w, "sandboxId", call->params[0]);
    jsonw_key(&w, "error");
    jsonw_object(&w);
    jsonw_key_str(&w, "code", error_name(err->code));
    jsonw_key_str(&w, "message", err->message);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    http_reply_buf(call->req, status, "application/json", &body);
}

/* To these clients a sandbox that has ended, or whose id is none, does not exist. */
void e2b_fail_control(struct api_call *call, const struct error *err)
{
    bool absent = err->code == ERROR_INVALID_ID || err->code == ERROR_INVALID_STATE;
    answer_error(call, absent ? 404 : error_status(err->code), err);
}

/* Whether the sandbox is not there, or paused: its proxy says so, whatever was asked. */
static bool answer_gone(struct api_call *call, const struct error *err)
{
    struct error gone;
    if (err->code != ERROR_SANDBOX_GONE && err->code != ERROR_SANDBOX_NOT_FOUND &&
        err->code != ERROR_INVALID_ID && err->code != ERROR_INVALID_STATE &&
        err->code != ERROR_SANDBOX_PAUSED)
        return false;
    error_set(&gone, ERROR_SANDBOX_GONE, "The sandbox was not found");
    answer_error(call, 502, &gone);
    return true;
}

/* To these clients who names a user that is not there is nobody. */
static struct error answer_named(const struct error *err)
{
    struct error named = *err;
    if (err->code == ERROR_UNKNOWN_USER)
        named.code = ERROR_UNAUTHORIZED;
    return named;
}

void e2b_fail_data(struct api_call *call, const struct error *reason)
{
    struct error named = answer_named(reason);
    const struct error *err = &named;
    if (answer_gone(call, err))
        return;
    int status = err->code == ERROR_NO_SPACE ? 507 : error_status(err->code);
    if (err->code == ERROR_BAD_GATEWAY) {
        struct error closed;
        error_set(&closed, err->code, "The sandbox is running but port is not open");
        answer_error(call, status, &closed);
    } else {
        answer_error(call, status, err);
    }
}

void e2b_fail_unary(struct api_call *call, const struct error *reason)
{
    int status;
    struct buf body = {0};
    struct error named = answer_named(reason);
    const struct error *err = &named;
    if (answer_gone(call, err))
        return;
    (void)connect_code(err->code, &status);
    connect_write_error(&body, err);
    http_reply_buf(call->req, status, "application/json", &body);
}

/* A stream says in its last message how it failed. Some clients read only the status of an answer
 * that is no stream, so it is one unless the status says all. */
void e2b_fail_stream(struct api_call *call, const struct error *reason)
{
    struct buf body = {0};
    struct error named = answer_named(reason);
    const struct error *err = &named;
    if (err->code == ERROR_UNAUTHORIZED) {
        e2b_fail_unary(call, err);
        return;
    }
    if (answer_gone(call, err))
        return;
    connect_end_stream(&body, err);
    http_reply_buf(call->req, 200, "application/connect+json", &body);
}

void e2b_fail_code(struct api_call *call, const struct error *err)
{
    if (!answer_gone(call, err))
        http_reply(call->req, error_status(err->code), "text/plain", err->message,
                   strlen(err->message));
}

void e2b_reply_nothing(struct api_call *call)
{
    struct buf body = {0};
    api_reply(call, 204, &body);
}

void e2b_reply_empty(struct api_call *call)
{
    struct buf body = {0};
    (void)buf_append_str(&body, "{}");
    api_reply(call, 200, &body);
}

void e2b_unsupported(struct api_call *call)
{
    struct error err;
    error_set(&err, ERROR_NOT_IMPLEMENTED, "%s %.100s is not supported",
              http_method_str(call->req->method), call->req->path.data);
    api_fail(call, &err);
}

bool e2b_write_usage(struct api_call *call, struct jsonw *w, const struct e2b_usage_names *names)
{
    struct error err;
    struct sandbox *sb = call->sandbox;
    struct instance_stats stats = {0};
    double cpu = 0;
    int64_t disk = (int64_t)sb->disk_mb << 20;
    if (api_sandbox_usage(sb, &stats, &cpu, &err) < 0) {
        buf_done(w->out);
        api_fail(call, &err);
        return false;
    }
    jsonw_key_int(w, names->cpus, sb->vcpus);
    jsonw_key(w, names->cpu);
    jsonw_fixed(w, cpu);
    jsonw_key_int(w, names->memory, (int64_t)sb->memory_mb << 20);
    jsonw_key_int(w, names->memory_used, (int64_t)stats.memory_bytes);
    jsonw_key_int(w, names->disk_used, MIN((int64_t)stats.disk_write, disk));
    jsonw_key_int(w, names->disk, disk);
    return true;
}

const char *e2b_path(struct api_call *call, const char *path, struct error *err)
{
    if (path[0] == '~' && (path[1] == '\0' || path[1] == '/'))
        path = path[1] == '\0' ? "." : path + 2;
    return api_path(call, path[0] != '\0' ? path : ".", err);
}

const char *e2b_user(struct api_call *call)
{
    const struct http_str *header = http_header(call->req, "Authorization");
    cleanup_buf struct buf text = {0};
    if (header == NULL || strncasecmp(header->data, "Basic ", 6) != 0 ||
        base64_decode(&text, header->data + 6, strlen(header->data + 6)) < 0 ||
        buf_cstr(&text) == NULL)
        return "";
    size_t n = strcspn((const char *)text.data, ":");
    const char *user = arena_strndup(&call->req->arena, (const char *)text.data, n);
    return user != NULL ? user : "";
}

void e2b_step_done(struct api_call *call, const struct wire_frame *frame, const struct error *err)
{
    if (frame != NULL && wire_reply_is(frame, WIRE_OK))
        e2b_reply_empty(call);
    else
        api_step_failed(call, err);
}
