/* SPDX-License-Identifier: Apache-2.0 */
/* port_url.c - the URL of a port, and tokens for it. */
#include "api/port_auth.h"
#include "base/num.h"
#include "base/timefmt.h"

static void port_url_write(struct jsonw *w, const struct api_call *call, uint16_t port,
                           const char *key, const char *token)
{
    cleanup_buf struct buf url = {0};
    const struct config *c = call->api->config;
    uint16_t usual = call->req->secure ? 443 : 80;
    (void)buf_printf(&url, "http%s://%s-%u.%s", call->req->secure ? "s" : "", call->sandbox->id,
                     port, c->domain);
    if (c->listen.port != usual)
        (void)buf_printf(&url, ":%u", c->listen.port);
    if (token != NULL)
        (void)buf_printf(&url, "/?" PORT_AUTH_QUERY "=%s", token);
    jsonw_key(w, key);
    jsonw_strn(w, (const char *)url.data, url.len);
}

static bool port_url_port(struct api_call *call, uint16_t *ret)
{
    int64_t port;
    if (num_parse(call->params[1], 1, 65535, &port) < 0) {
        api_fail_code(call, ERROR_INVALID_ARGUMENT, "The port must be between 1 and 65535");
        return false;
    }
    *ret = (uint16_t)port;
    return true;
}

void api_host_url(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    uint16_t port;
    if (!port_url_port(call, &port))
        return;
    jsonw_object(&w);
    port_url_write(&w, call, port, "url", NULL);
    if (port_auth_needed(call->api->config))
        jsonw_key_bool(&w, "token_required", true);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void api_host_token(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    char token[GRANT_PASS_SIZE], expires[TIMEFMT_SIZE];
    int64_t life_s, end_s;
    uint16_t port;
    struct error err;
    if (!port_url_port(call, &port))
        return;
    if (json_get_int(call->body, "expires_in", PORT_AUTH_DEFAULT_S, 1, PORT_AUTH_MAX_S, &life_s,
                     &err) < 0) {
        api_fail(call, &err);
        return;
    }
    end_s = time_now_ms() / 1000 + life_s;
    port_auth_token(call->api, call->sandbox->id, port, end_s, token);
    jsonw_object(&w);
    port_url_write(&w, call, port, "url", NULL);
    port_url_write(&w, call, port, "signed_url", token);
    jsonw_key_str(&w, "token", token);
    jsonw_key_str(&w, "expires_at", timefmt_rfc3339(expires, end_s * 1000));
    jsonw_key_bool(&w, "token_required", port_auth_needed(call->api->config));
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}
