/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - /health and /metrics. */
#include "api/api.h"
#include "core/metrics.h"

void api_health(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "status", "ok");
    jsonw_key_str(&w, "version", CORRAL_VERSION);
    jsonw_key_str(&w, "isolation", call->api->isolation);
    jsonw_key_int(&w, "sandboxes", sandbox_table_live(call->api->sandboxes));
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void api_metrics(struct api_call *call)
{
    struct buf body = {0};
    if (!call->api->config->metrics) {
        api_fail_code(call, ERROR_NOT_FOUND, "Metrics are off");
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
