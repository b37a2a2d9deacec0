/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.c - port URLs: which host name or path leads to a port of a sandbox, and the requests that
 * arrive under it.
 *
 * The happy path is: the head arrives (proxy_start) and a PORT operation is opened; with its OK the
 * head goes to the sandbox, then the body as it comes; when the body is over the client's
 * connection leaves HTTP, and whatever the sandbox answers passes unchanged, as does what the
 * client sends after an upgrade. Possible failure modes are: no such sandbox (404), an ended one
 * (410), nothing listens (502), each with our error body; the sandbox closes or dies in the middle
 * (the client's connection is closed); either side reads slowly (the other is paused).
 *
 * Under a path the sandbox's server sees what follows the prefix. A browser's page there gets a
 * cookie, which is put into the head of the answer as it passes: a path that is none of ours then
 * leads to the same port, so that pages with absolute paths work. What a program asks for, which
 * has a credential, never goes that way.
 *
 * Every request but an upgrade is sent with "Connection: close" on a connection of its own. Without
 * a pool of idle connections, the first request after a pause cannot hit a stale one, and the end
 * of an answer is found without parsing what a hostile server sends.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/api.h"
#include "api/port_auth.h"
#include "api/port_host.h"
#include "api/port_path.h"
#include "api/router.h"
#include "api/service.h"
#include "api/wake.h"
#include "wire/call.h"
#include "wire/reply.h"
#include "wire/request.h"

#define PORT_OPEN_MS    15000 /* the agent's own limit comes first */
#define PORT_FIRST_LINE 4096  /* bytes of an answer in which its first line must end */

/* Where a request under a port URL goes; `call->state` until proxy_start. */
struct port_target {
    char id[ID_SIZE];
    uint16_t port;
    bool by_path;       /* on the API's own origin, which pages of all sandboxes share */
    bool service;       /* as service.h has it */
    const char *prefix; /* of the path, which the sandbox's server does not see; NULL: none */
};

struct proxy {
    struct api_call *call; /* NULL once the client is gone or answered */
    struct agent_call agent;
    struct buf to_sandbox; /* head and what of the body came before the connection */
    char *cookie;          /* owned; the line to put into the answer's head, NULL: none, or done */
    struct buf first; /* the answer's first line until it is complete, while there is a cookie */
    bool agent_open;  /* `agent` has not closed */
    bool connected;   /* bytes may be sent to the sandbox */
    bool body_over;   /* of the request */
    bool chunked;     /* the body is sent on in chunks */
    bool raw;         /* the client's connection has left HTTP */
};

static void proxy_on_agent_frame(struct agent_call *agent, const struct wire_frame *frame);
static void proxy_on_agent_raw(struct agent_call *agent, const uint8_t *data, size_t len);
static void proxy_on_agent_failed(struct agent_call *agent, const struct error *err);
static void proxy_on_agent_drained(struct agent_call *agent);
static void proxy_on_agent_closed(struct agent_call *agent);
static void proxy_on_client_writable(struct http_request *req);
static void proxy_on_client_data(struct http_request *req, const uint8_t *data, size_t len);
static void proxy_on_client_ended(struct http_request *req);

static const struct agent_call_handler proxy_agent = {
    .frame = proxy_on_agent_frame,
    .failed = proxy_on_agent_failed,
    .drained = proxy_on_agent_drained,
    .raw = proxy_on_agent_raw,
    .closed = proxy_on_agent_closed,
};

static const struct http_raw proxy_client = {.data = proxy_on_client_data,
                                             .ended = proxy_on_client_ended};

static void proxy_maybe_free(struct proxy *p)
{
    if (p->call != NULL || p->agent_open)
        return;
    buf_done(&p->to_sandbox);
    buf_done(&p->first);
    free(p->cookie);
    free(p);
}

static void proxy_detach(struct proxy *p)
{
    if (p->call != NULL) {
        p->call->cancel = NULL;
        p->call->state = NULL;
        p->call->req->writable = NULL;
    }
    p->call = NULL;
    if (p->agent_open)
        agent_call_close(&p->agent);
    proxy_maybe_free(p);
}

static void proxy_cancel(struct api_call *call)
{
    proxy_detach(call->state);
}

static void proxy_fail(struct proxy *p, const struct error *err)
{
    struct api_call *call = p->call;
    bool raw = p->raw;
    if (call != NULL && raw && p->first.len > 0)
        http_raw_write(call->req, p->first.data, p->first.len);
    proxy_detach(p);
    if (call == NULL)
        return;
    if (raw)
        http_raw_end(call->req);
    else
        api_fail(call, err);
}

/* Headers that belong to one connection (RFC 9110, section 7.6.1), and those that write_head makes.
 */
static bool header_is_ours(const char *name, bool upgrade)
{
    static const char *const always[] = {
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "content-length",
        "expect",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "host",
        "e2b-sandbox-id",
        "e2b-sandbox-port",
        "e2b-traffic-access-token",
        "cookie",
        "x-forwarded-prefix",
        PORT_AUTH_HEADER,
        SERVICE_HEADER,
    };
    for (size_t i = 0; i < ARRAY_SIZE(always); i++) {
        if (strcasecmp(name, always[i]) == 0)
            return true;
    }
    return !upgrade && (strcasecmp(name, "connection") == 0 || strcasecmp(name, "upgrade") == 0);
}

/* The authority of a target in absolute form counts, whatever Host says (RFC 9112, section 3.2.2).
 * NULL: neither is there, or out of memory. */
static const char *request_host(struct http_request *req)
{
    const struct http_str *host = http_header(req, "Host");
    const char *scheme = req->target.data[0] != '/' ? strstr(req->target.data, "://") : NULL;
    if (scheme == NULL)
        return host != NULL ? host->data : NULL;
    return arena_strndup(&req->arena, scheme + 3, strcspn(scheme + 3, "/?"));
}

/* What the sandbox's server is asked for: the path behind a prefix, and the query without a token
 * of ours. */
static void write_target(struct buf *out, struct http_request *req, const char *prefix)
{
    const char *query = port_auth_query(req);
    bool whole = prefix == NULL && query == req->query.data && req->target.data[0] == '/';
    if (whole || req->path.data[0] != '/') {
        (void)buf_append_str(out, req->target.data);
        return;
    }
    (void)buf_printf(out, "%s%s%s", req->path.data + (prefix != NULL ? strlen(prefix) : 0),
                     query[0] != '\0' ? "?" : "", query);
}

/* Credentials of this server, which whoever serves the port could use in the client's name, and a
 * page's URL that still has one in it. What the sandbox's own server asks for is passed on. */
static bool header_is_secret(const struct api *api, const struct http_header *h)
{
    return port_auth_is_credential(api, h) || (strcasecmp(h->name.data, "referer") == 0 &&
                                               strstr(h->value.data, PORT_AUTH_QUERY "=") != NULL);
}

/* All cookies but ours. */
static void write_cookies(struct buf *out, const struct http_request *req)
{
    cleanup_buf struct buf kept = {0};
    for (unsigned int i = 0; i < req->n_headers; i++) {
        if (strcasecmp(req->headers[i].name.data, "cookie") == 0) {
            (void)buf_append_str(&kept, kept.len > 0 ? "; " : "");
            port_path_strip(&kept, req->headers[i].value.data);
        }
    }
    if (kept.len > 0 && buf_cstr(&kept) != NULL)
        (void)buf_printf(out, "Cookie: %s\r\n", (const char *)kept.data);
}

static void write_head(struct proxy *p, const struct port_target *target)
{
    struct http_request *req = p->call->req;
    struct buf *out = &p->to_sandbox;
    const char *host = request_host(req);
    const struct http_str *forwarded = http_header(req, "X-Forwarded-For");
    bool upgrade = http_header(req, "Upgrade") != NULL;
    (void)buf_printf(out, "%s ", http_method_str(req->method));
    write_target(out, req, target->prefix);
    (void)buf_printf(out, " HTTP/1.1\r\nHost: %s\r\n", host != NULL ? host : "");
    for (unsigned int i = 0; i < req->n_headers; i++) {
        const struct http_header *h = &req->headers[i];
        if (!header_is_ours(h->name.data, upgrade) && !header_is_secret(p->call->api, h))
            (void)buf_printf(out, "%s: %s\r\n", h->name.data, h->value.data);
    }
    write_cookies(out, req);
    if (target->prefix != NULL)
        (void)buf_printf(out, "X-Forwarded-Prefix: %s\r\n", target->prefix);
    if (!upgrade)
        (void)buf_append_str(out, "Connection: close\r\n");
    if (p->chunked)
        (void)buf_append_str(out, "Transfer-Encoding: chunked\r\n");
    else if (req->content_length >= 0)
        (void)buf_printf(out, "Content-Length: %lld\r\n", (long long)req->content_length);
    (void)buf_printf(out, "X-Forwarded-For: %s%s%s\r\n", forwarded != NULL ? forwarded->data : "",
                     forwarded != NULL ? ", " : "", http_peer(req));
    (void)buf_printf(out, "X-Forwarded-Proto: http%s\r\n", req->secure ? "s" : "");
    (void)buf_printf(out, "X-Forwarded-Host: %s\r\n\r\n", host != NULL ? host : "");
}

static int proxy_open(struct proxy *p, struct sandbox *sb, uint16_t port)
{
    struct buf request = {0};
    wire_request_port(&request, port);
    return agent_call_start(&p->agent, &sb->target, &proxy_agent, &request, PORT_OPEN_MS);
}

/* A page that a browser shows gets the cookie; what programs ask for does not. */
static char *proxy_cookie(const struct http_request *req, const struct port_target *target)
{
    const struct http_str *accept = http_header(req, "Accept");
    char *line = NULL;
    if (target->prefix == NULL || req->method != METHOD_GET || accept == NULL ||
        strstr(accept->data, "text/html") == NULL)
        return NULL;
    return asprintf(&line,
                    "Set-Cookie: " PORT_PATH_COOKIE
                    "=%s-%u%s; Path=/; HttpOnly; SameSite=Lax%s\r\n",
                    target->id, target->port, target->service ? "-service" : "",
                    req->secure ? "; Secure" : "") < 0
               ? NULL
               : line;
}

/* Relative links of a page need the slash. True when that is the answer. */
static bool proxy_redirect(struct api_call *call, const struct port_target *target)
{
    struct http_request *req = call->req;
    if (target->prefix == NULL || req->path.len > strlen(target->prefix))
        return false;
    const char *to = arena_printf(&req->arena, "%s/%s%s", target->prefix,
                                  req->query.len > 0 ? "?" : "", req->query.data);
    (void)http_add_header(req, "Location", to != NULL ? to : "/");
    http_reply(req, 308, "text/plain", "", 0);
    return true;
}

static void proxy_start(struct api_call *call)
{
    const struct port_target *target = call->state;
    if (!port_auth_admit(call, target->id, target->port, target->service)) {
        call->state = NULL;
        return;
    }
    struct sandbox *sb = sandbox_table_find(call->api->sandboxes, target->id);
    if (sb != NULL && sandbox_is_paused(sb)) {
        api_wake(call, sb, proxy_start);
        return;
    }
    call->state = NULL;
    /* It would answer for the whole origin, also in the name of other sandboxes. */
    if (target->by_path && http_header(call->req, "Service-Worker") != NULL) {
        api_fail_code(call, ERROR_FORBIDDEN, "A service worker needs the URL with a host name");
        return;
    }
    if (proxy_redirect(call, target))
        return;
    if (sb == NULL) {
        api_fail_code(call, ERROR_SANDBOX_NOT_FOUND, "Sandbox not found");
        return;
    }
    if (!sandbox_is_running(sb)) {
        api_fail_code(call, ERROR_SANDBOX_GONE, "The sandbox has ended");
        return;
    }
    struct proxy *p = calloc(1, sizeof(*p));
    if (p == NULL || proxy_open(p, sb, target->port) < 0) {
        free(p);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    p->call = call;
    p->agent_open = true;
    p->chunked = http_header(call->req, "Transfer-Encoding") != NULL;
    call->state = p;
    call->cancel = proxy_cancel;
    call->req->writable = proxy_on_client_writable;
    p->cookie = proxy_cookie(call->req, target);
    write_head(p, target);
}

/* Pauses the client while the sandbox does not keep up, or is not connected yet. */
static void proxy_throttle(struct proxy *p)
{
    if (!p->connected || !agent_call_writable(&p->agent))
        http_body_pause(p->call->req);
    else
        http_body_resume(p->call->req);
}

static void proxy_flush(struct proxy *p)
{
    if (p->to_sandbox.len > 0)
        (void)agent_call_send_raw(&p->agent, p->to_sandbox.data, p->to_sandbox.len);
    buf_reset(&p->to_sandbox);
}

static void proxy_data(struct api_call *call, const uint8_t *data, size_t len)
{
    struct proxy *p = call->state;
    if (p == NULL)
        return;
    if (p->chunked)
        (void)buf_printf(&p->to_sandbox, "%zx\r\n", len);
    (void)buf_append(&p->to_sandbox, data, len);
    if (p->chunked)
        (void)buf_append(&p->to_sandbox, "\r\n", 2);
    if (p->connected)
        proxy_flush(p);
    proxy_throttle(p);
}

/* Request and connection are both complete: the rest is bytes. */
static void proxy_go_raw(struct proxy *p)
{
    if (!p->body_over || !p->connected)
        return;
    p->raw = true;
    if (http_upgrade(p->call->req, &proxy_client) < 0) {
        struct api_call *call = p->call;
        proxy_detach(p);
        http_reply_abort(call->req);
        return;
    }
    proxy_throttle(p);
    agent_call_resume(&p->agent);
}

static void proxy_end(struct api_call *call)
{
    struct proxy *p = call->state;
    if (p == NULL)
        return;
    if (p->chunked)
        (void)buf_append_str(&p->to_sandbox, "0\r\n\r\n");
    if (p->connected)
        proxy_flush(p);
    p->body_over = true;
    proxy_go_raw(p);
}

static void proxy_on_agent_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    struct proxy *p = container_of(agent, struct proxy, agent);
    struct error err;
    if (frame->type == WIRE_ERROR) {
        wire_reply_error(frame, &err);
        proxy_fail(p, &err);
    } else if (!wire_reply_is(frame, WIRE_OK)) {
        agent_call_bad_frame(agent);
    } else {
        agent_call_turn_raw(agent);
        agent_call_set_deadline(agent, 0);
        agent_call_pause(agent); /* until the client's side can take an answer */
        p->connected = true;
        proxy_flush(p);
        if (p->body_over)
            proxy_go_raw(p);
        else
            proxy_throttle(p);
    }
}

/* Puts the cookie behind the first line of an answer. Anything but the head of a final answer stays
 * as it is. */
static void proxy_put_cookie(struct proxy *p, const uint8_t *data, size_t len)
{
    struct http_request *req = p->call->req;
    cleanup_free char *cookie = TAKE_PTR(p->cookie);
    (void)buf_append(&p->first, data, len);
    const uint8_t *end = p->first.len > 0 ? memchr(p->first.data, '\n', p->first.len) : NULL;
    if (end == NULL && p->first.len < PORT_FIRST_LINE && !p->first.failed) {
        p->cookie = TAKE_PTR(cookie);
        return;
    }
    size_t line = end != NULL ? (size_t)(end - p->first.data) + 1 : 0;
    bool final = line > 12 && memcmp(p->first.data, "HTTP/1.", 7) == 0 && p->first.data[9] != '1';
    if (final) {
        http_raw_write(req, p->first.data, line);
        http_raw_write(req, cookie, strlen(cookie));
        buf_consume(&p->first, line);
    }
    http_raw_write(req, p->first.data, p->first.len);
    buf_done(&p->first);
}

static void proxy_on_agent_raw(struct agent_call *agent, const uint8_t *data, size_t len)
{
    struct proxy *p = container_of(agent, struct proxy, agent);
    if (p->call == NULL)
        return;
    if (p->cookie != NULL)
        proxy_put_cookie(p, data, len);
    else
        http_raw_write(p->call->req, data, len);
    if (!http_reply_writable(p->call->req))
        agent_call_pause(agent);
}

static void proxy_on_client_writable(struct http_request *req)
{
    struct api_call *call = req->app;
    struct proxy *p = call->state;
    if (p != NULL && p->raw)
        agent_call_resume(&p->agent);
}

static void proxy_on_client_data(struct http_request *req, const uint8_t *data, size_t len)
{
    struct api_call *call = req->app;
    struct proxy *p = call->state;
    if (p == NULL)
        return;
    (void)agent_call_send_raw(&p->agent, data, len);
    proxy_throttle(p);
}

static void proxy_on_client_ended(struct http_request *req)
{
    struct api_call *call = req->app;
    struct proxy *p = call->state;
    if (p != NULL)
        agent_call_shutdown(&p->agent);
}

static void proxy_on_agent_drained(struct agent_call *agent)
{
    struct proxy *p = container_of(agent, struct proxy, agent);
    if (p->call != NULL && p->connected)
        proxy_throttle(p);
}

static void proxy_on_agent_failed(struct agent_call *agent, const struct error *err)
{
    struct error gateway = *err;
    /* Whatever failed, it is the server behind the proxy to the client. */
    if (gateway.code != ERROR_SANDBOX_GONE)
        gateway.code = ERROR_BAD_GATEWAY;
    proxy_fail(container_of(agent, struct proxy, agent), &gateway);
}

static void proxy_on_agent_closed(struct agent_call *agent)
{
    struct proxy *p = container_of(agent, struct proxy, agent);
    p->agent_open = false;
    proxy_maybe_free(p);
}

static const struct api_route proxy_route = {
    .pattern = "port",
    .flags = API_STREAM,
    .handler = proxy_start,
    .data = proxy_data,
    .end = proxy_end,
};

const struct api_route *api_port_route_to(struct api_call *call, const char *id, uint16_t port)
{
    struct port_target *target = arena_alloc(&call->req->arena, sizeof(*target));
    if (target == NULL)
        return NULL;
    *target = (struct port_target){.port = port};
    memcpy(target->id, id, ID_SIZE);
    call->state = target;
    return &proxy_route;
}

static const struct api_route *port_route_by_path(struct api_call *call, const struct port_path *to)
{
    struct http_request *req = call->req;
    const struct api_route *route = api_port_route_to(call, to->id, to->port);
    struct port_target *target = call->state;
    if (route == NULL)
        return NULL;
    target->by_path = true;
    target->service = to->service;
    if (to->prefix > 0)
        target->prefix = arena_strndup(&req->arena, req->path.data, to->prefix);
    return route;
}

/* An absolute path that a page under a path has asked for: none of the API's, or, when the page
 * says so itself, one that is open to everybody. */
static const struct api_route *port_route_of_page(struct api_call *call)
{
    struct http_request *req = call->req;
    const struct http_str *referer = http_header(req, "Referer");
    const struct http_str *cookies = http_header(req, "Cookie");
    const char *host = request_host(req);
    struct router_match match;
    struct port_path to;
    if (http_header(req, "Authorization") != NULL || http_header(req, "X-API-Key") != NULL)
        return NULL;
    bool named = referer != NULL && host != NULL && port_path_of_referer(referer->data, host, &to);
    if (!named && (cookies == NULL || !port_path_of_cookies(cookies->data, &to)))
        return NULL;
    enum router_result found = router_match(api_routes, api_route_count, req->method, req->path,
                                            &match);
    bool open = found == ROUTER_FOUND && (match.route->flags & API_PUBLIC) != 0;
    if (found != ROUTER_NO_PATH && !(named && open))
        return NULL;
    to.prefix = 0;
    return port_route_by_path(call, &to);
}

const struct api_route *api_port_route(struct api_call *call)
{
    const char *host = request_host(call->req);
    char id[ID_SIZE];
    uint16_t port;
    struct port_path path;
    const size_t mark = strlen(PORT_HOST_SERVICE);
    bool service = host != NULL && strncasecmp(host, PORT_HOST_SERVICE, mark) == 0;
    if (service)
        host += mark;
    if (host != NULL && port_host_parse(host, call->api->config->domain, id, &port)) {
        const struct api_route *route = api_port_route_to(call, id, port);
        struct port_target *target = call->state;
        if (route != NULL)
            target->service = service;
        return route;
    }
    if (port_path_parse(call->req->path.data, call->req->path.len, &path))
        return port_route_by_path(call, &path);
    return port_route_of_page(call);
}
