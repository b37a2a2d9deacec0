/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch.c - whether a request is one of these clients, by its path, and its route.
 *
 * They know more than this server offers. What lies below their prefixes and is no route is
 * answered here, behind the check of the credential: families that the server does not have with
 * 501, which these clients do not send again, all else with 404.
 */
#include <string.h>

#include "api/port_path.h"
#include "api/router.h"
#include "gravix/internal.h"

#define DISPATCH_RUNTIME "/v1/agents/runtime"

static void dispatch_not_found(struct api_call *call)
{
    api_fail_code(call, ERROR_NOT_FOUND, "No such route");
}

static void dispatch_no_method(struct api_call *call)
{
    api_fail_code(call, ERROR_METHOD_NOT_ALLOWED, "The route does not have this method");
}

void gravix_unsupported(struct api_call *call)
{
    struct error err;
    error_set(&err, ERROR_UNSUPPORTED, "%s %.100s is not supported by this server",
              http_method_str(call->req->method), call->req->path.data);
    api_fail(call, &err);
}

/* A request that has no route still has a credential. */
static const struct api_route dispatch_missing = {.handler = dispatch_not_found,
                                                  .scope = SCOPE_READ},
                              dispatch_wrong = {.handler = dispatch_no_method, .scope = SCOPE_READ},
                              dispatch_absent = {.flags = API_CONTENT,
                                                 .handler = gravix_unsupported,
                                                 .scope = SCOPE_READ};

/* Whether the path is `prefix`, or lies below it. */
static bool dispatch_is_below(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(path, prefix, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* What is asked of one runtime: the word behind its id. */
static bool dispatch_runtime_lacks(const char *path)
{
    static const char *const families[] = {"/browser", "/desktop", "/display",
                                           "/mounts",  "/ssh",     "/snapshots"};
    const char *id = path + strlen(DISPATCH_RUNTIME);
    const char *word = *id == '/' ? strchr(id + 1, '/') : NULL;
    for (size_t i = 0; word != NULL && i < ARRAY_SIZE(families); i++) {
        if (dispatch_is_below(word, families[i]))
            return true;
    }
    return false;
}

/* The answer for a path that no route has; NULL for one that is not of these clients. */
static const struct api_route *dispatch_fallback(const char *path, enum router_result result)
{
    static const char *const ours[] = {DISPATCH_RUNTIME, "/v1/agents/template",
                                       "/v1/agents/snapshots", "/v1/identity",
                                       "/v1/network-policies"};
    static const char *const lacking[] = {"/v1/agents/buckets", "/v1/agents/bucket-links",
                                          "/v1/agents/template/builds"};
    for (size_t i = 0; i < ARRAY_SIZE(lacking); i++) {
        if (dispatch_is_below(path, lacking[i]))
            return &dispatch_absent;
    }
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
        if (!dispatch_is_below(path, ours[i]))
            continue;
        if (i == 0 && dispatch_runtime_lacks(path))
            return &dispatch_absent;
        return result == ROUTER_NO_METHOD ? &dispatch_wrong : &dispatch_missing;
    }
    return NULL;
}

/* {"error": {...}} is what this server's own clients know. These read a code and a message on top.
 */
static void dispatch_fail(struct api_call *call, const struct error *err)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key(&w, "error");
    jsonw_object(&w);
    jsonw_key_str(&w, "code", error_name(err->code));
    jsonw_key_str(&w, "message", err->message);
    jsonw_object_end(&w);
    jsonw_key_str(&w, "code", error_name(err->code));
    jsonw_key_str(&w, "message", err->message);
    jsonw_object_end(&w);
    http_reply_buf(call->req, error_status(err->code), "application/json", &body);
}

static const struct api_surface dispatch_surface = {.fail = dispatch_fail, .home = GRAVIX_HOME};

bool gravix_dispatch(struct api_call *call)
{
    struct router_match match;
    const char *path = call->req->path.data;
    struct port_path port;
    if (strncmp(path, "/v1/", 4) != 0 || port_path_parse(path, call->req->path.len, &port))
        return false;
    enum router_result result = router_match(gravix_routes, gravix_route_count, call->req->method,
                                             call->req->path, &match);
    const struct api_route *route = result == ROUTER_FOUND ? match.route
                                                           : dispatch_fallback(path, result);
    if (route == NULL)
        return false;
    call->surface = &dispatch_surface;
    call->route = route;
    for (size_t i = 0; result == ROUTER_FOUND && i < API_MAX_PARAMS; i++) {
        const struct http_str *param = &match.params[i];
        if (param->data == NULL)
            break;
        call->params[i] = http_unescape(call->req, param->data, param->len);
        if (call->params[i] == NULL) {
            api_fail_code(call, ERROR_INVALID_REQUEST, "The path has a broken percent-escape");
            break;
        }
    }
    return true;
}
