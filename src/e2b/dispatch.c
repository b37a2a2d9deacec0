/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch.c - which plane a request is for: by its Host, by the two routing headers, by a
 * signature, or by the header with a key.
 *
 * The planes share paths with each other (/health, /files, /metrics) and with the API (/sandboxes),
 * so the path decides last.
 */
#include <string.h>
#include <strings.h>

#include "api/router.h"
#include "e2b/address.h"
#include "e2b/internal.h"

void e2b_init(struct e2b *e)
{
    list_init(&e->watchers);
}

static const char *dispatch_header(struct api_call *call, const char *name)
{
    const struct http_str *header = http_header(call->req, name);
    return header != NULL ? header->data : NULL;
}

static bool dispatch_path_is(const struct http_str *path, const char *prefix)
{
    size_t n = strlen(prefix);
    return path->len >= n && memcmp(path->data, prefix, n) == 0 &&
           (path->len == n || path->data[n] == '/');
}

/* Takes the route of one of the planes; false when none has it. The first parameter is `id`, or
 * when that is NULL the path's own. */
static bool dispatch_route(struct api_call *call, const struct e2b_plane *const *planes, size_t n,
                           const char *id)
{
    struct router_match match;
    for (size_t i = 0; i < n; i++) {
        const struct e2b_plane *plane = planes[i];
        if (router_match(plane->routes, plane->n, call->req->method, call->req->path, &match) !=
            ROUTER_FOUND)
            continue;
        call->surface = plane->surface;
        call->route = match.route;
        size_t at = id != NULL ? 1 : 0;
        if (id != NULL)
            call->params[0] = id;
        for (size_t p = 0; at < API_MAX_PARAMS && match.params[p].data != NULL; p++, at++) {
            call->params[at] = http_unescape(call->req, match.params[p].data, match.params[p].len);
            if (call->params[at] == NULL)
                api_fail_code(call, ERROR_INVALID_REQUEST, "The path has a broken escape");
        }
        return true;
    }
    return false;
}

/* A body that is the file itself has a handler of its own. */
static void dispatch_upload(struct api_call *call)
{
    const char *type = dispatch_header(call, "Content-Type");
    if (call->surface == e2b_files_plane.surface && call->req->method == METHOD_POST &&
        type != NULL && strncasecmp(type, "application/octet-stream", 24) == 0)
        call->route = &e2b_raw_upload_route;
}

static void dispatch_no_route(struct api_call *call, const struct api_surface *surface,
                              enum error_code code)
{
    struct error err;
    call->surface = surface;
    error_set(&err, code, "%s %.100s is not supported", http_method_str(call->req->method),
              call->req->path.data);
    api_fail(call, &err);
}

/* Whose files are meant. A process has a user of its own, in its start. */
static void dispatch_user(struct api_call *call)
{
    const char *user = NULL;
    if (call->surface == e2b_files_plane.surface)
        user = http_form_query(call->req, "username");
    else if (dispatch_path_is(&call->req->path, "/filesystem.Filesystem"))
        user = e2b_user(call);
    call->user = user != NULL && user[0] != '\0' && strcmp(user, E2B_USER) != 0 ? user : NULL;
}

static void dispatch_envd(struct api_call *call, const char *id)
{
    static const struct e2b_plane *const planes[] = {&e2b_files_plane, &e2b_unary_plane,
                                                     &e2b_stream_plane};
    if (dispatch_route(call, planes, ARRAY_SIZE(planes), id)) {
        dispatch_upload(call);
        dispatch_user(call);
    } else {
        dispatch_no_route(call, e2b_unary_plane.surface, ERROR_NOT_IMPLEMENTED);
    }
}

static bool dispatch_sandbox(struct api_call *call, const struct e2b_address *to)
{
    static const struct e2b_plane *const code[] = {&e2b_code_plane};
    const char *id = arena_strndup(&call->req->arena, to->id, strlen(to->id));
    call->params[0] = id != NULL ? id : "";
    if (to->port == E2B_ENVD_PORT) {
        dispatch_envd(call, call->params[0]);
    } else if (to->port == E2B_CODE_PORT) {
        if (!dispatch_route(call, code, 1, call->params[0]))
            dispatch_no_route(call, e2b_code_plane.surface, ERROR_NOT_FOUND);
    } else {
        call->surface = &e2b_port_surface;
        call->route = api_port_route_to(call, to->id, to->port);
        if (call->route == NULL)
            api_fail_code(call, ERROR_INTERNAL, "Out of memory");
    }
    return true;
}

/* What begins like a route of the control plane and is none is not supported. */
static bool dispatch_control(struct api_call *call)
{
    static const struct e2b_plane *const planes[] = {&e2b_control_plane};
    static const char *const prefixes[] = {
        "/sandboxes", "/v2/sandboxes",  "/templates", "/v2/templates",  "/v3/templates",
        "/snapshots", "/v2/snapshots",  "/volumes",   "/volumecontent", "/secrets",
        "/teams",     "/access-tokens", "/api-keys",  "/nodes"};
    if (dispatch_route(call, planes, 1, NULL))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        if (dispatch_path_is(&call->req->path, prefixes[i])) {
            dispatch_no_route(call, e2b_control_plane.surface, ERROR_NOT_IMPLEMENTED);
            return true;
        }
    }
    return false;
}

bool e2b_dispatch(struct api_call *call)
{
    struct e2b_address to = {.id = ""};
    const char *host = dispatch_header(call, "Host");
    if (host != NULL && e2b_address_of_host(host, call->api->config->domain, &to)) {
        /* The port of a name that this server makes itself has its own route, with its errors. */
        bool ours = host[8] == '-' && to.port != E2B_ENVD_PORT && to.port != E2B_CODE_PORT;
        return ours ? false : dispatch_sandbox(call, &to);
    }
    if (e2b_address_of_headers(dispatch_header(call, "E2b-Sandbox-Id"),
                               dispatch_header(call, "E2b-Sandbox-Port"), &to))
        return dispatch_sandbox(call, &to);
    if (dispatch_path_is(&call->req->path, "/files") && call->req->path.len == 6 &&
        http_form_query(call->req, "signature") != NULL) {
        dispatch_envd(call, "");
        return true;
    }
    return dispatch_header(call, "X-API-Key") != NULL && dispatch_control(call);
}
