/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - services: ports of a runtime under URLs that need a token. */
#include "api/service.h"

#include <string.h>

#include "api/port_auth.h"
#include "api/port_host.h"
#include "base/num.h"
#include "base/timefmt.h"
#include "gravix/internal.h"

#define SERVICE_LIFE_S 3600

/* Where the service is found. Names below the server's domain are for TLS, whose certificate has
 * them. Otherwise the client's own way to this server is the one that it can go: a name below
 * "localhost" does not resolve everywhere. */
static void service_base(const struct api_call *call, uint16_t port, struct buf *out)
{
    const struct config *c = call->api->config;
    const struct http_str *host = http_header(call->req, "Host");
    const char *at = host != NULL ? strrchr(host->data, ':') : NULL;
    bool named = call->req->secure && strcmp(c->domain, "localhost") != 0;
    if (named)
        (void)buf_printf(out, "https://" PORT_HOST_SERVICE "%s-%u.%s%s/", call->sandbox->id, port,
                         c->domain, at != NULL && strchr(at, ']') == NULL ? at : "");
    else
        (void)buf_printf(out, "http%s://%s/v1/agents/runtime/%s/services/%u/web/",
                         call->req->secure ? "s" : "", host != NULL ? host->data : c->domain,
                         call->sandbox->id, port);
}

static void service_write(struct jsonw *w, const struct api_call *call, const struct api_service *s)
{
    cleanup_buf struct buf base = {0};
    char token[GRANT_PASS_SIZE];
    service_base(call, s->port, &base);
    const char *url = buf_cstr(&base);
    jsonw_object(w);
    jsonw_key_str(w, "runtime_id", call->sandbox->id);
    jsonw_key_int(w, "port", s->port);
    jsonw_key_str(w, "url", url != NULL ? url : "");
    jsonw_key_str(w, "web_url", url != NULL ? url : "");
    jsonw_key_str(w, "service_url", url != NULL ? url : "");
    jsonw_key_time(w, "expires_at", s->end_s * 1000);
    jsonw_key_bool(w, "is_public", s->is_public);
    if (!s->is_public) {
        api_service_token(call->api, call->sandbox->id, s, token);
        jsonw_key_str(w, "token", token);
        (void)buf_printf(&base, "?" PORT_AUTH_QUERY "=%s", token);
        url = buf_cstr(&base);
    }
    jsonw_key_str(w, "browser_url", url != NULL ? url : "");
    jsonw_object_end(w);
}

static void service_opened(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    service_write(&w, call, call->state);
    api_reply(call, 200, &body);
}

void gravix_service_open(struct api_call *call)
{
    struct error err;
    int64_t port = 0, life_s = 0;
    bool rotate = false;
    struct api_service wanted = {.port = 0};
    struct api_service *made = arena_alloc(&call->req->arena, sizeof(*made));
    int rv = json_need(call->body, "port", &err);
    if (rv == 0)
        rv = json_get_int(call->body, "port", 0, 1, UINT16_MAX, &port, &err);
    if (rv == 0)
        rv = json_get_int(call->body, "expires_in_seconds", SERVICE_LIFE_S, 1, PORT_AUTH_MAX_S,
                          &life_s, &err);
    if (rv == 0)
        rv = json_get_bool(call->body, "is_public", false, &wanted.is_public, &err);
    if (rv == 0)
        rv = json_get_bool(call->body, "rotate_token", false, &rotate, &err);
    if (rv == 0 && made == NULL)
        rv = error_set(&err, ERROR_INTERNAL, "Out of memory");
    wanted.port = (uint16_t)port;
    wanted.end_s = time_now_ms() / 1000 + life_s;
    if (rv == 0)
        rv = api_service_open(call->sandbox, &wanted, rotate, made, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    call->state = made;
    api_when_committed(call, service_opened);
}

void gravix_service_list(struct api_call *call)
{
    struct api_service all[SERVICE_MAX];
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    size_t count = api_services(call->sandbox, all);
    jsonw_object(&w);
    jsonw_key(&w, "services");
    jsonw_array(&w);
    for (size_t i = 0; i < count; i++)
        service_write(&w, call, &all[i]);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void gravix_service_revoke(struct api_call *call)
{
    int64_t port = 0;
    if (num_parse(call->params[1], 1, UINT16_MAX, &port) < 0 ||
        !api_service_close(call->sandbox, (uint16_t)port))
        api_fail_code(call, ERROR_NOT_FOUND, "There is no service at that port");
    else
        api_when_committed(call, gravix_succeeded);
}
