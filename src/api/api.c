/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.c - what every handler needs of its call: answers and errors, what the path and the query
 * say, and the wait for the disk.
 */
#include "api/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/path.h"
#include "base/num.h"

void api_error_json(struct buf *out, const struct error *err, const char *details)
{
    struct jsonw w = {.out = out};
    jsonw_object(&w);
    jsonw_key(&w, "error");
    jsonw_object(&w);
    jsonw_key_str(&w, "code", error_name(err->code));
    jsonw_key_str(&w, "message", err->message);
    jsonw_key(&w, "details");
    jsonw_raw(&w, details != NULL ? details : "{}", details != NULL ? strlen(details) : 2);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
}

static void api_over(struct api_call *call)
{
    call->cancel = NULL;
    call->state = NULL;
}

void api_reply(struct api_call *call, int status, struct buf *body)
{
    api_over(call);
    if (body->failed) {
        buf_done(body);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    http_reply_buf(call->req, status, "application/json", body);
}

void api_fail_details(struct api_call *call, const struct error *err, const char *details)
{
    struct buf body = {0};
    api_over(call);
    if (call->req->status != 0) { /* the answer has begun: cutting it off tells the client */
        http_reply_abort(call->req);
        return;
    }
    if (err->code == ERROR_UNAUTHORIZED && call->surface == NULL)
        (void)http_add_header(call->req, "WWW-Authenticate", "Bearer");
    if (err->code == ERROR_RATE_LIMITED || err->code == ERROR_QUOTA_EXCEEDED ||
        error_status(err->code) == 503) {
        char seconds[16]; /* a number: clients do not read dates */
        (void)snprintf(seconds, sizeof(seconds), "%u", MAX(call->retry_after_s, 1u));
        (void)http_add_header(call->req, "Retry-After", seconds);
    }
    if (call->surface != NULL) {
        call->surface->fail(call, err);
        return;
    }
    api_error_json(&body, err, details);
    http_reply_buf(call->req, error_status(err->code), "application/json", &body);
}

void api_fail(struct api_call *call, const struct error *err)
{
    api_fail_details(call, err, NULL);
}

void api_fail_code(struct api_call *call, enum error_code code, const char *message)
{
    struct error err;
    error_set(&err, code, "%s", message);
    api_fail(call, &err);
}

int api_check_list(char *const *list, const char *field, struct error *err)
{
    size_t n = 0;
    while (list != NULL && list[n] != NULL)
        n++;
    if (n < WIRE_MAX_LIST) /* the command itself is an element, too */
        return 0;
    return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' holds %zu elements, the limit is %u",
                     field, n, WIRE_MAX_LIST - 1);
}

int api_get_list(const json *from, const char *field, char ***ret, struct error *err)
{
    int rv = json_get_str_list(from, field, ret, err);
    return rv == 0 ? api_check_list(*ret, field, err) : rv;
}

int api_get_env(const json *from, const char *field, char ***ret, struct error *err)
{
    size_t bytes = 0;
    int rv = json_get_env(from, field, ret, err);
    if (rv < 0)
        return rv;
    for (char *const *env = *ret; env != NULL && *env != NULL; env++)
        bytes += strlen(*env) + 1;
    if (bytes <= SANDBOX_MAX_ENV)
        return api_check_list(*ret, field, err);
    return error_set(err, ERROR_INVALID_ARGUMENT,
                     "Field '%s' comes to %zu bytes of variables, with those of providers; the "
                     "limit is %u",
                     field, bytes, SANDBOX_MAX_ENV);
}

const char *api_socket_protocol(struct http_request *req)
{
    const struct http_str *offered = http_header(req, "Sec-WebSocket-Protocol");
    const char *bearer = "";
    bool ours = false;
    for (const char *p = offered != NULL ? offered->data : ""; *p != '\0';) {
        p += strspn(p, ", \t");
        size_t n = strcspn(p, ", \t"), prefix = strlen(API_SOCKET_BEARER);
        ours = ours || (n == strlen(API_SOCKET_PROTOCOL) && memcmp(p, API_SOCKET_PROTOCOL, n) == 0);
        if (n > prefix && memcmp(p, API_SOCKET_BEARER, prefix) == 0)
            bearer = arena_printf(&req->arena, "Bearer %.*s", (int)(n - prefix), p + prefix);
        p += n;
    }
    return ours ? bearer : NULL;
}

static void api_committed(struct store_wait *w, int status)
{
    struct api_call *call = container_of(w, struct api_call, wait);
    if (status < 0)
        api_fail_code(call, status == -ENOSPC ? ERROR_NO_SPACE : ERROR_STORAGE_FAILED,
                      "The change could not be written to disk");
    else
        call->committed(call);
}

void api_when_committed(struct api_call *call, void (*then)(struct api_call *call))
{
    call->committed = then;
    store_flush(call->api->store, &call->wait, api_committed);
}

static unsigned int api_query_number(struct api_call *call, const char *name, unsigned int fallback,
                                     int64_t min, int64_t max)
{
    int64_t value;
    const char *text = http_query(call->req, name);
    if (text == NULL || num_parse(text, INT64_MIN, INT64_MAX, &value) < 0)
        return fallback;
    return (unsigned int)MIN(MAX(value, min), max);
}

void api_paging(struct api_call *call, unsigned int *limit, unsigned int *offset)
{
    *limit = api_query_number(call, "limit", 100, 1, 1000);
    *offset = api_query_number(call, "offset", 0, 0, INT32_MAX);
}

int64_t api_run_time_max(const struct api_call *call)
{
    return MIN(config_timeout_max(call->api->config), (int64_t)(UINT32_MAX / 1000 - 60));
}

const char *api_path(struct api_call *call, const char *path, struct error *err)
{
    const char *home = call->surface != NULL ? call->surface->home : NULL;
    return api_path_as(&call->req->arena, call->user, home != NULL ? home : API_PATH_HOME, path,
                       err);
}

const char *api_path_field(struct api_call *call, const char *field)
{
    struct error err;
    const char *path = NULL;
    if (json_need_str(call->body, field, &path, &err) == 0)
        path = api_path(call, path, &err);
    else
        path = NULL;
    if (path == NULL)
        api_fail(call, &err);
    return path;
}

bool api_query_is_true(struct api_call *call, const char *name)
{
    const char *value = http_query(call->req, name);
    return value != NULL && (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

void api_list_begin(struct api_call *call, struct api_list *list, const char *field)
{
    *list = (struct api_list){.w.out = &list->body};
    api_paging(call, &list->limit, &list->offset);
    jsonw_object(&list->w);
    jsonw_key(&list->w, field);
    jsonw_array(&list->w);
}

void api_list_end(struct api_call *call, struct api_list *list, unsigned int total)
{
    jsonw_array_end(&list->w);
    jsonw_key_int(&list->w, "total", total);
    jsonw_object_end(&list->w);
    api_reply(call, 200, &list->body);
}
