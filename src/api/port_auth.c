/* SPDX-License-Identifier: Apache-2.0 */
/* port_auth.c - see port_auth.h. */
#include "api/port_auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/port_path.h"
#include "api/service.h"
#include "base/timefmt.h"
#include "core/metrics.h"

/* A request and the port that it is for. */
struct port_visit {
    struct api_call *call;
    const char *id;
    uint16_t port;
    const char *purpose, *header; /* of tokens, and where a program shows one */
    char subject[SERVICE_SUBJECT_SIZE];
    int64_t end_s; /* of the token that was found */
};

bool port_auth_needed(const struct config *c)
{
    return c->port_auth == CONFIG_PORT_AUTH_TOKEN ||
           (c->port_auth == CONFIG_PORT_AUTH_AUTO && !config_is_loopback(&c->listen));
}

static void port_auth_subject(const char *id, uint16_t port, char out[ID_SIZE + 8])
{
    (void)snprintf(out, ID_SIZE + 8, "%s-%u", id, port);
}

void port_auth_token(const struct api *api, const char *id, uint16_t port, int64_t end_s,
                     char out[GRANT_PASS_SIZE])
{
    char subject[ID_SIZE + 8];
    port_auth_subject(id, port, subject);
    grant_pass(&api->grants, GRANT_PORT, subject, end_s, out);
}

static bool visit_check(struct port_visit *v, const char *text, size_t len)
{
    return grant_pass_check(&v->call->api->grants, v->purpose, v->subject, text, len,
                            time_now_ms() / 1000, &v->end_s);
}

static bool visit_has_header(struct port_visit *v)
{
    const struct http_str *token = http_header(v->call->req, v->header);
    return token != NULL && visit_check(v, token->data, token->len);
}

/* Under one origin there may be cookies of the same name: any of them will do. */
static bool visit_has_cookie(struct port_visit *v)
{
    const struct http_request *req = v->call->req;
    struct port_token token;
    for (unsigned int i = 0; i < req->n_headers; i++) {
        const char *rest = req->headers[i].value.data;
        if (strcasecmp(req->headers[i].name.data, "cookie") != 0)
            continue;
        while (port_path_next_token(&rest, v->id, v->port, &token)) {
            if (visit_check(v, token.text, token.len))
                return true;
        }
    }
    return false;
}

/* The next parameter of a query; whether it is a token. */
static bool query_next(struct http_str *rest, struct http_str *name, struct http_str *value,
                       bool *is_token)
{
    if (!http_query_next(rest, name, value))
        return false;
    *is_token = name->len == strlen(PORT_AUTH_QUERY) &&
                memcmp(name->data, PORT_AUTH_QUERY, name->len) == 0;
    return true;
}

static bool visit_has_query(struct port_visit *v)
{
    struct http_str rest = v->call->req->query, name, value;
    bool is_token;
    while (query_next(&rest, &name, &value, &is_token)) {
        if (is_token && visit_check(v, value.data, value.len))
            return true;
    }
    return false;
}

static bool visit_is_of_traffic(const struct port_visit *v)
{
    const struct http_str *token = http_header(v->call->req, "E2B-Traffic-Access-Token");
    return token != NULL && grant_check(&v->call->api->grants, GRANT_TRAFFIC, v->id, token->data);
}

/* The principal of a header with a credential of this server. */
static bool port_auth_principal(const struct api *api, const struct http_header *h,
                                struct principal *ret)
{
    struct error err;
    char bearer[APIKEY_TEXT_SIZE + 8];
    if (strcasecmp(h->name.data, "authorization") == 0)
        return auth_check(&api->auth, h->value.data, h->value.len, ret, &err) == 0;
    if (strcasecmp(h->name.data, "x-api-key") != 0 || h->value.len >= APIKEY_TEXT_SIZE)
        return false;
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", h->value.data);
    return auth_check(&api->auth, bearer, strlen(bearer), ret, &err) == 0;
}

bool port_auth_is_credential(const struct api *api, const struct http_header *h)
{
    struct principal who;
    return port_auth_principal(api, h, &who);
}

static bool visit_is_of_owner(const struct port_visit *v)
{
    const struct http_request *req = v->call->req;
    const struct sandbox *sb = sandbox_table_find(v->call->api->sandboxes, v->id);
    struct principal who;
    for (unsigned int i = 0; i < req->n_headers; i++) {
        if (port_auth_principal(v->call->api, &req->headers[i], &who) &&
            (who.scopes & SCOPE_RUN) != 0 && sb != NULL &&
            strcmp(who.account, sb->owner.account) == 0)
            return true;
    }
    return false;
}

const char *port_auth_query(struct http_request *req)
{
    struct http_str rest = req->query, name, value;
    char *out = arena_alloc(&req->arena, req->query.len + 1);
    size_t n = 0;
    bool is_token, any = false;
    if (out == NULL)
        return "";
    while (query_next(&rest, &name, &value, &is_token)) {
        size_t len = (size_t)(value.data + value.len - name.data);
        any = any || is_token;
        if (is_token)
            continue;
        if (n > 0)
            out[n++] = '&';
        memcpy(out + n, name.data, len);
        n += len;
    }
    out[n] = '\0';
    return any ? out : req->query.data;
}

/* A browser's page: the token moves from the URL, which is kept, shown and told to others, into a
 * cookie. A path with two slashes in front would name another host. */
static bool visit_moves_to_cookie(struct port_visit *v)
{
    struct http_request *req = v->call->req;
    const struct http_str *accept = http_header(req, "Accept");
    char token[GRANT_PASS_SIZE];
    if (req->method != METHOD_GET || accept == NULL || strstr(accept->data, "text/html") == NULL)
        return false;
    grant_pass(&v->call->api->grants, v->purpose, v->subject, v->end_s, token);
    const char *query = port_auth_query(req);
    const char *to = arena_printf(&req->arena, "%s%s%s%s",
                                  strncmp(req->path.data, "//", 2) == 0 ? "/." : "", req->path.data,
                                  query[0] != '\0' ? "?" : "", query);
    const char *cookie = arena_printf(
        &req->arena, PORT_PATH_TOKEN "%s-%u=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Lax%s",
        v->id, v->port, token, (long long)(v->end_s - time_now_ms() / 1000),
        req->secure ? "; Secure" : "");
    if (to == NULL || cookie == NULL)
        return false;
    (void)http_add_header(req, "Location", to);
    (void)http_add_header(req, "Set-Cookie", cookie);
    (void)http_add_header(req, "Cache-Control", "no-store");
    (void)http_add_header(req, "Referrer-Policy", "no-referrer");
    http_reply(req, 302, "text/plain", "", 0);
    return true;
}

/* A service that is open to nobody has no token that would fit. */
static bool visit_admit_service(struct port_visit *v)
{
    struct api_service service;
    const struct sandbox *sb = sandbox_table_find(v->call->api->sandboxes, v->id);
    bool open = sb != NULL && api_service_find(sb, v->port, &service);
    if (open && service.is_public)
        return true;
    if (open) {
        v->purpose = GRANT_SERVICE;
        v->header = SERVICE_HEADER;
        api_service_subject(v->id, &service, v->subject);
        if (visit_has_query(v))
            return !visit_moves_to_cookie(v);
        if (visit_has_header(v) || visit_has_cookie(v))
            return true;
    }
    metrics_add(METRIC_AUTH_FAILED, 1);
    api_fail_code(v->call, ERROR_UNAUTHORIZED,
                  "The service is not open, or its token, in the header '" SERVICE_HEADER
                  "' or the parameter '" PORT_AUTH_QUERY "', is missing or wrong");
    return false;
}

bool port_auth_admit(struct api_call *call, const char *id, uint16_t port, bool service)
{
    struct port_visit v = {
        .call = call, .id = id, .port = port, .purpose = GRANT_PORT, .header = PORT_AUTH_HEADER};
    if (service)
        return visit_admit_service(&v);
    if (!port_auth_needed(call->api->config))
        return true;
    port_auth_subject(id, port, v.subject);
    if (visit_has_query(&v))
        return !visit_moves_to_cookie(&v);
    if (visit_has_header(&v) || visit_has_cookie(&v) || visit_is_of_traffic(&v) ||
        visit_is_of_owner(&v))
        return true;
    metrics_add(METRIC_AUTH_FAILED, 1);
    api_fail_code(call, ERROR_UNAUTHORIZED,
                  "The port needs a token: POST .../host/<port>/token gives one, which a header "
                  "'" PORT_AUTH_HEADER "' or the parameter '" PORT_AUTH_QUERY "' shows");
    return false;
}
