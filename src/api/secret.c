/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.c - /v1/agents/secrets: values that corral-egress fills into header fields.
 *
 * A value goes in and never comes out: answers have names only. The answer to a change is sent when
 * the change is on disk, and policies that use the secret are sent again then.
 */
#include <string.h>

#include "api/api.h"
#include "auth/secret.h"

static void secret_committed(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const char *name = call->params[0];
    bool set = call->req->method == METHOD_PUT;
    secrets_changed(call->api->secrets, call->principal.account, name);
    jsonw_object(&w);
    if (!set)
        jsonw_key_str(&w, "message", "Secret deleted successfully");
    jsonw_key_str(&w, "name", name);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* The parsed value; the bytes that came are the connection's and are overwritten by its next
 * request. */
static void secret_wipe_body(struct api_call *call)
{
    json *value = cJSON_GetObjectItemCaseSensitive(call->body, "value");
    if (cJSON_IsString(value))
        explicit_bzero(value->valuestring, strlen(value->valuestring));
}

void api_secret_set(struct api_call *call)
{
    struct error err;
    const char *value = NULL;
    int rv = json_need_str(call->body, "value", &value, &err);
    if (rv == 0)
        rv = secret_set(call->api->secrets, call->principal.account, call->params[0], value, &err);
    secret_wipe_body(call);
    if (rv < 0)
        api_fail(call, &err);
    else
        api_when_committed(call, secret_committed);
}

static void secret_list_one(void *ctx, const char *name, int64_t set_at)
{
    struct jsonw *w = ctx;
    jsonw_object(w);
    jsonw_key_str(w, "name", name);
    jsonw_key_time(w, "updated_at", set_at);
    jsonw_object_end(w);
}

void api_secret_list(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key(&w, "secrets");
    jsonw_array(&w);
    int rv = secrets_each(call->api->secrets, call->principal.account, secret_list_one, &w);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    if (rv < 0) {
        buf_done(&body);
        api_fail_code(call, ERROR_STORAGE_FAILED, "The secrets cannot be read");
        return;
    }
    api_reply(call, 200, &body);
}

void api_secret_delete(struct api_call *call)
{
    struct error err;
    if (secret_del(call->api->secrets, call->principal.account, call->params[0], &err) < 0)
        api_fail(call, &err);
    else
        api_when_committed(call, secret_committed);
}
