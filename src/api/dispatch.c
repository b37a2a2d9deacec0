/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch.c - what happens to a request before and after its handler.
 *
 * The happy path is: api_head finds the route and the credential before any body is read, so that a
 * request that is refused costs no memory; api_ready resolves the sandbox and the JSON; the handler
 * answers. The sandbox is looked up only when the body is complete: it may have ended while a slow
 * client was sending. Possible failure modes are: each check's own answer; the client goes away
 * (api_gone, which calls `cancel`); an error after the answer began, which can only cut it off.
 */
#include "api/dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/cors.h"
#include "api/fields.h"
#include "api/router.h"
#include "api/wake.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "core/metrics.h"

static unsigned int api_no_route_metric; /* requests without a route; those of the table follow */

static void api_head(struct http_request *req);
static void api_body(struct http_request *req, const uint8_t *data, size_t len);
static void api_ready(struct http_request *req);
static void api_gone(struct http_request *req, bool aborted);
static void api_refused(struct http_request *req);
static void api_error_body(struct buf *out, const struct error *err);

struct http_app api_app(struct api *api)
{
    api_no_route_metric = metrics_route("*", "none");
    api_fields_init();
    for (size_t i = 0; i < api_route_count; i++)
        (void)metrics_route(http_method_str(api_routes[i].method), api_routes[i].pattern);
    return (struct http_app){
        .ctx = api,
        .head = api_head,
        .body = api_body,
        .ready = api_ready,
        .gone = api_gone,
        .refused = api_refused,
        .error_body = api_error_body,
    };
}

static void api_error_body(struct buf *out, const struct error *err)
{
    api_error_json(out, err, NULL);
}

/* The call has its answer. What is still under way for it must not be cancelled with it. */
static void api_route_error(struct api_call *call, enum router_result result, const char *allow)
{
    char all[96];
    bool cors = cors_is_on(call->api->config->cors);
    (void)snprintf(all, sizeof(all), "%s%s", allow, cors ? ", OPTIONS" : "");
    if (result == ROUTER_NO_METHOD && cors && call->req->method == METHOD_OPTIONS) {
        cors_answer_options(call->req, call->api->config->cors, all);
    } else if (result == ROUTER_NO_METHOD) {
        (void)http_add_header(call->req, "Allow", all);
        api_fail_code(call, ERROR_METHOD_NOT_ALLOWED, "The route does not have this method");
    } else {
        api_fail_code(call, ERROR_NOT_FOUND, "No such route");
    }
}

/* Counts the request against its key and says so in the answer's headers. */
static int api_limit(struct api_call *call, struct error *err)
{
    char text[24], limit[RATELIMIT_TEXT_SIZE];
    const struct principal *who = &call->principal;
    const struct rate_limits *rate = who->has_rate ? &who->rate : &call->api->config->rate_limit;
    if (!rate->enabled)
        return 0;
    const struct ratelimit_answer a = ratelimit_take(call->api->ratelimit, who->key_id, rate,
                                                     time_now_ms());
    if (a.limit > 0) {
        (void)snprintf(text, sizeof(text), "%u", a.limit);
        (void)http_add_header(call->req, "X-RateLimit-Limit", text);
        (void)snprintf(text, sizeof(text), "%u", a.remaining);
        (void)http_add_header(call->req, "X-RateLimit-Remaining", text);
        (void)snprintf(text, sizeof(text), "%lld", (long long)a.reset_s);
        (void)http_add_header(call->req, "X-RateLimit-Reset", text);
    }
    if (a.allowed)
        return 0;
    metrics_add(METRIC_RATE_LIMITED, 1);
    call->retry_after_s = a.retry_after_s;
    return error_set(err, ERROR_RATE_LIMITED,
                     "Too many requests; try again in %u s. The limit is %s: %s", a.retry_after_s,
                     ratelimit_print(rate, limit),
                     who->has_rate ? "this key's own"
                                   : "the server's option --rate-limit, and a key may have its own "
                                     "(corral key create --rate-limit)");
}

/* Requests of one key side by side: each holds a connection and memory. */
static int api_count_key(struct api_call *call, struct error *err)
{
    call->of_key = tally_take(&call->api->of_keys, call->principal.key_id);
    if (call->of_key == NULL || call->of_key->count <= call->api->max_key)
        return 0;
    call->retry_after_s = 1;
    return error_set(err, ERROR_RATE_LIMITED, "%u requests of this key are under way, its limit",
                     call->api->max_key);
}

/* The request's credential as an Authorization header has it; NULL: none. */
static const char *api_credential(struct api_call *call)
{
    const struct http_str *header = http_header(call->req, "Authorization");
    const struct http_str *key = http_header(call->req, "X-API-Key");
    if (key != NULL && (header == NULL || call->surface != NULL))
        return arena_printf(&call->req->arena, "Bearer %s", key->data);
    if (header == NULL && (call->route->flags & API_SOCKET) != 0)
        return api_socket_protocol(call->req);
    return header != NULL ? header->data : NULL;
}

static int api_admit(struct api_call *call, struct error *err)
{
    if ((call->route->flags & API_PUBLIC) != 0)
        return 0;
    if (call->surface != NULL && call->surface->admit != NULL)
        return call->surface->admit(call, err);
    const char *value = api_credential(call);
    int rv = auth_check(&call->api->auth, value, value != NULL ? strlen(value) : 0,
                        &call->principal, err);
    if (rv < 0)
        metrics_add(METRIC_AUTH_FAILED, 1);
    if (rv == 0)
        rv = api_count_key(call, err);
    if (rv == 0)
        rv = api_limit(call, err);
    return rv < 0 ? rv : principal_require(&call->principal, call->route->scope, err);
}

/* Whether the sandbox is in the state that the route wants: 0, -EAGAIN when it has to be woken up
 * first, another negative errno with `err`. */
static int api_check_state(struct api_call *call, const struct sandbox *sb, struct error *err)
{
    unsigned int flags = call->route->flags;
    bool wanted = (flags & API_RUNNING) == 0 || sandbox_is_running(sb);
    if ((flags & API_LIVE) != 0)
        wanted = sandbox_is_running(sb) || sandbox_is_paused(sb);
    if (wanted)
        return 0;
    if (!sandbox_is_paused(sb))
        return error_set(err, ERROR_INVALID_STATE, "Sandbox is not running (%s)",
                         sandbox_status_str(sb->status));
    if ((flags & API_STILL) == 0 && sb->owner.life.auto_resume)
        return -EAGAIN;
    return error_set(err, ERROR_SANDBOX_PAUSED, "The sandbox is paused; resume it first");
}

static int api_resolve_sandbox(struct api_call *call, struct error *err)
{
    char id[ID_SIZE];
    if (id_parse(id, call->params[0]) < 0)
        return error_set(err, ERROR_INVALID_ID, "The sandbox id is not a UUID");
    struct sandbox *sb = sandbox_table_find(call->api->sandboxes, id);
    if (sb == NULL)
        return error_set(err, ERROR_SANDBOX_NOT_FOUND, "Sandbox not found");
    if (strcmp(sb->owner.account, call->principal.account) != 0)
        return error_set(err, ERROR_FORBIDDEN, "The sandbox belongs to another account");
    call->sandbox = sb;
    return api_check_state(call, sb, err);
}

/* Goes on with `then` when the sandbox of the path is there, in the state that the route wants. */
static void api_with_sandbox(struct api_call *call, void (*then)(struct api_call *call))
{
    struct error err;
    int rv = (call->route->flags & API_SANDBOX) != 0 ? api_resolve_sandbox(call, &err) : 0;
    if (rv == -EAGAIN)
        api_wake(call, call->sandbox, then);
    else if (rv < 0)
        api_fail(call, &err);
    else
        then(call);
}

/* Finds the route and its parameters; false when there is none, and the request has its answer. */
static bool api_find_route(struct api_call *call)
{
    struct router_match match;
    struct http_request *req = call->req;
    enum router_result result = router_match(api_routes, api_route_count, req->method, req->path,
                                             &match);
    if (result != ROUTER_FOUND) {
        api_route_error(call, result, match.allow);
        return false;
    }
    call->route = match.route;
    call->metric = api_no_route_metric + 1 + (unsigned int)(match.route - api_routes);
    for (size_t i = 0; i < API_MAX_PARAMS && match.params[i].data != NULL; i++) {
        call->params[i] = http_unescape(req, match.params[i].data, match.params[i].len);
        if (call->params[i] == NULL) {
            api_fail_code(call, ERROR_INVALID_REQUEST, "The path has a broken percent-escape");
            return false;
        }
    }
    return true;
}

/* A streamed request goes to its handler now, the others when their body is complete. */
static void api_take_body(struct api_call *call)
{
    struct http_request *req = call->req;
    if ((call->route->flags & API_STREAM) == 0) {
        req->body_mode = HTTP_BODY_BUFFER;
        req->body_limit = api_body_limit(call);
        return;
    }
    req->body_mode = HTTP_BODY_STREAM;
    api_with_sandbox(call, call->route->handler);
}

static void api_head(struct http_request *req)
{
    struct error err;
    struct api_call *call = arena_alloc(&req->arena, sizeof(*call));
    req->app = call;
    if (call == NULL) {
        error_set(&err, ERROR_INTERNAL, "Out of memory");
        http_reply_error(req, &err);
        return;
    }
    call->req = req;
    call->api = req->ctx;
    call->metric = api_no_route_metric;
    bool found = call->api->dispatch != NULL && call->api->dispatch(call);
    if (!found)
        call->route = api_port_route(call);
    if (!found && call->route != NULL) { /* a port URL: the sandbox's own server answers */
        api_take_body(call);
        return;
    }
    cors_add_headers(req, call->api->config->cors);
    if (found ? req->status == 0 : api_find_route(call)) {
        if (api_admit(call, &err) < 0 || api_fields_check_query(call, &err) < 0)
            api_fail(call, &err);
        else
            api_take_body(call);
    }
}

static void api_body(struct http_request *req, const uint8_t *data, size_t len)
{
    struct api_call *call = req->app;
    if (req->status == 0)
        call->route->data(call, data, len);
}

static void api_run(struct api_call *call)
{
    struct error err;
    if (api_fields_check_body(call, &err) < 0)
        api_fail(call, &err);
    else
        call->route->handler(call);
}

/* The body is parsed. The sandbox may have ended while a thread did that. */
static void api_handle(struct api_call *call)
{
    api_with_sandbox(call, api_run);
}

/* Its body is complete. */
static void api_parse(struct api_call *call)
{
    if ((call->route->flags & API_JSON) != 0)
        api_parse_body(call, api_handle);
    else
        call->route->handler(call);
}

static void api_ready(struct http_request *req)
{
    struct api_call *call = req->app;
    if (call->route->end != NULL) {
        if (req->status == 0)
            call->route->end(call);
        return;
    }
    api_with_sandbox(call, api_parse);
}

static void api_gone(struct http_request *req, bool aborted)
{
    struct api_call *call = req->app;
    if (call == NULL)
        return;
    uint64_t ns = uv_hrtime() - req->started_ns;
    metrics_request(call->metric, req->status, ns);
    log_debug("request", "id=%llx method=%s path=%.*s status=%d aborted=%d ms=%.2f",
              (unsigned long long)req->id, http_method_str(req->method),
              (int)MIN(req->path.len, (size_t)200), req->path.data, req->status, aborted,
              (double)ns / 1e6);
    store_unwait(&call->wait);
    if (call->cancel != NULL)
        call->cancel(call);
    if (call->over != NULL)
        call->over(call);
    json_free_p(&call->body);
    tally_drop(TAKE_PTR(call->of_key));
    req->app = NULL;
}

static void api_refused(struct http_request *req)
{
    const struct api *api = req->ctx;
    cors_add_headers(req, api->config->cors);
}
