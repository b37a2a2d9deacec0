/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - /health and /metrics. */
#include <string.h>

#include "api/api.h"
#include "core/metrics.h"

void api_health(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    bool full = sandbox_table_full_disk(call->api->sandboxes);
    jsonw_object(&w);
    jsonw_key_str(&w, "status", full ? "degraded" : "ok");
    jsonw_key_str(&w, "version", CORRAL_VERSION);
    jsonw_key_str(&w, "isolation", call->api->isolation);
    jsonw_key_int(&w, "sandboxes", sandbox_table_live(call->api->sandboxes));
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* A client of this host that nobody has forwarded. */
static bool client_is_here(struct http_request *req)
{
    const char *peer = http_peer(req);
    bool here = strncmp(peer, "127.", 4) == 0 || strncmp(peer, "::ffff:127.", 11) == 0 ||
                strcmp(peer, "::1") == 0;
    return here && http_header(req, "X-Forwarded-For") == NULL &&
           http_header(req, "Forwarded") == NULL;
}

void api_metrics(struct api_call *call)
{
    struct buf body = {0};
    struct error err;
    const struct http_str *value = http_header(call->req, "Authorization");
    if (!call->api->config->metrics) {
        api_fail_code(call, ERROR_NOT_FOUND, "Metrics are off");
        return;
    }
    if (!call->api->config->metrics_open && !client_is_here(call->req) &&
        auth_check(&call->api->auth, value != NULL ? value->data : NULL,
                   value != NULL ? value->len : 0, &call->principal, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    call->api->sample(call->api);
    if (metrics_print(&body) < 0) {
        buf_done(&body);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    http_reply_buf(call->req, 200, "text/plain; version=0.0.4", &body);
}
