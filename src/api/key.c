/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.c - /v1/admin/keys: API keys of every account.
 *
 * The answer to a change is made at once and sent when the change is on disk: a key that a crash
 * would take back must not reach a client. The text of a key exists in that answer only.
 */
#include <string.h>

#include "api/api.h"

static void write_key(struct jsonw *w, const struct apikey *key)
{
    jsonw_key_str(w, "id", key->id);
    jsonw_key_str(w, "name", key->name);
    jsonw_key_str(w, "account", key->account);
    jsonw_key_str(w, "role", role_name(key->role));
    jsonw_key_time(w, "created_at", key->created_at);
    jsonw_key(w, "rate_limit");
    char rate[RATELIMIT_TEXT_SIZE];
    if (key->has_rate)
        jsonw_str(w, ratelimit_print(&key->rate, rate));
    else
        jsonw_null(w); /* it has the server's */
}

/* In the request's arena while the change is committed. */
struct key_change {
    char id[APIKEY_ID_LEN + 1];
    struct buf body; /* the answer */
};

static void key_committed(struct api_call *call)
{
    struct key_change *change = call->state;
    api_reply(call, call->req->method == METHOD_POST ? 201 : 200, &change->body);
}

/* The client went away and will never know the text of its new key: the key is useless. */
static void key_create_cancel(struct api_call *call)
{
    struct key_change *change = call->state;
    (void)apikey_revoke(call->api->keys, change->id, NULL);
    buf_done(&change->body);
}

static void key_revoke_cancel(struct api_call *call)
{
    struct key_change *change = call->state;
    buf_done(&change->body);
}

static int parse_key(struct api_call *call, struct apikey_params *p, struct error *err)
{
    const char *role_text = NULL;
    int rv = json_get_str(call->body, "name", "", &p->name, err);
    if (rv == 0)
        rv = json_get_str(call->body, "account", call->principal.account, &p->account, err);
    if (rv == 0)
        rv = json_get_str(call->body, "role", "developer", &role_text, err);
    if (rv == 0)
        rv = json_get_str(call->body, "rate_limit", NULL, &p->rate, err);
    if (rv == 0 && role_parse(role_text, &p->role) < 0)
        rv = error_set(err, ERROR_INVALID_ARGUMENT,
                       "Field 'role' must be viewer, developer or admin");
    return rv;
}

void api_key_create(struct api_call *call)
{
    struct error err;
    struct apikey_params params = {0};
    char text[APIKEY_TEXT_SIZE];
    const struct apikey *key = NULL;
    struct key_change *change = arena_alloc(&call->req->arena, sizeof(*change));
    int rv = change != NULL ? parse_key(call, &params, &err)
                            : error_set(&err, ERROR_INTERNAL, "Out of memory");
    if (rv == 0)
        rv = apikey_create(call->api->keys, &params, text, &key, &err);
    if (rv != 0) {
        api_fail(call, &err);
        return;
    }
    struct jsonw w = {.out = &change->body};
    jsonw_object(&w);
    write_key(&w, key);
    jsonw_key_str(&w, "key", text);
    jsonw_object_end(&w);
    memcpy(change->id, key->id, sizeof(change->id));
    call->state = change;
    call->cancel = key_create_cancel;
    api_when_committed(call, key_committed);
}

void api_key_list(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    size_t n = 0;
    cleanup_free const struct apikey **keys = apikey_list(call->api->keys, &n);
    if (keys == NULL && n > 0) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    jsonw_object(&w);
    jsonw_key(&w, "keys");
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) {
        jsonw_object(&w);
        write_key(&w, keys[i]);
        jsonw_object_end(&w);
    }
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void api_key_revoke(struct api_call *call)
{
    struct error err;
    struct key_change *change = arena_alloc(&call->req->arena, sizeof(*change));
    int rv = change != NULL ? apikey_revoke(call->api->keys, call->params[0], &err)
                            : error_set(&err, ERROR_INTERNAL, "Out of memory");
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    struct jsonw w = {.out = &change->body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Key revoked successfully");
    jsonw_key_str(&w, "id", call->params[0]);
    jsonw_object_end(&w);
    call->state = change;
    call->cancel = key_revoke_cancel;
    api_when_committed(call, key_committed);
}
