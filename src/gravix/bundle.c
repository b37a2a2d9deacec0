/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.c - network policies and identity providers: both are named lists that an account ties to
 * runtimes, so that their routes differ in words alone.
 *
 * A value of a secret goes in and never comes out. An answer to a change leaves when the change is
 * on disk.
 */
#include <string.h>
#include <strings.h>

#include "api/ties.h"
#include "api/wake.h"
#include "gravix/internal.h"

#define BUNDLE_MASKED "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"
#define BUNDLE_TYPE   "api_key" /* of all providers */

static const char *const bundle_modes[] = {[BUNDLE_ALLOW_ALL] = "allow_all",
                                           [BUNDLE_DENYLIST] = "denylist",
                                           [BUNDLE_ALLOWLIST] = "allowlist",
                                           [BUNDLE_DENY_ALL] = "deny_all"};
static const char *const bundle_protocols[] = {
    [BUNDLE_TCP] = "tcp", [BUNDLE_UDP] = "udp", [BUNDLE_ANY] = "any"};

static int bundle_read_entry(struct api_call *call, const struct bundle *b,
                             const struct bundle_entry *old, struct bundle_entry_fields *f,
                             struct error *err);

/* --- what they are called --- */

static const struct bundle_words {
    enum bundle_kind kind;
    const char *prefix;     /* of their routes */
    const char *one, *many; /* members of answers */
    const char *entry, *entries;
} bundle_words[] = {
    {BUNDLE_POLICY, "/v1/network-policies", "policy", "policies", "rule", "rules"},
    {BUNDLE_PROVIDER, "/v1/identity", "provider", "providers", "secret", "secrets"},
};

static const struct bundle_words *bundle_words_of(const struct api_call *call)
{
    const struct bundle_words *w = &bundle_words[0];
    return strncmp(call->route->pattern, w->prefix, strlen(w->prefix)) == 0 ? w : &bundle_words[1];
}

/* The one that the path names. NULL: the request has its answer. */
static struct bundle *bundle_of_call(struct api_call *call)
{
    const struct bundle_words *words = bundle_words_of(call);
    struct error err;
    struct bundle *b = bundle_find(call->api->bundles, words->kind, call->principal.account,
                                   call->params[0]);
    if (b == NULL) {
        error_set(&err, ERROR_NOT_FOUND, "There is no such %s", words->one);
        api_fail(call, &err);
    }
    return b;
}

static struct bundle_entry *bundle_entry_of_call(struct api_call *call, struct bundle *b)
{
    struct error err;
    struct bundle_entry *e = bundle_entry_find(b, call->params[1]);
    if (e == NULL) {
        error_set(&err, ERROR_NOT_FOUND, "There is no such %s", bundle_words_of(call)->entry);
        api_fail(call, &err);
    }
    return e;
}

/* --- printing --- */

static void bundle_key_text(struct jsonw *w, const char *key, const char *text)
{
    if (text != NULL)
        jsonw_key_str(w, key, text);
}

static void bundle_write_entry(struct jsonw *w, const struct bundle *b,
                               const struct bundle_entry *e)
{
    jsonw_object(w);
    jsonw_key_str(w, "id", e->id);
    if (b->kind == BUNDLE_POLICY) {
        jsonw_key_str(w, "policy_id", b->id);
        jsonw_key_str(w, "destination", e->name);
        jsonw_key_int(w, "port", e->port);
        jsonw_key_str(w, "protocol", bundle_protocols[e->protocol]);
        bundle_key_text(w, "description", e->description);
    } else {
        jsonw_key_str(w, "key", e->name);
        jsonw_key_bool(w, "value_set", e->value.len > 0);
        jsonw_key_str(w, "masked", BUNDLE_MASKED);
    }
    jsonw_key_time(w, "created_at", e->created_ms);
    jsonw_key_time(w, "updated_at", e->updated_ms);
    jsonw_object_end(w);
}

static void bundle_write_entries(struct jsonw *w, const struct bundle *b, const char *key)
{
    jsonw_key(w, key);
    jsonw_array(w);
    for (size_t i = 0; i < b->count; i++)
        bundle_write_entry(w, b, &b->entries[i]);
    jsonw_array_end(w);
}

static void bundle_write(struct jsonw *w, const struct bundle *b)
{
    jsonw_object(w);
    jsonw_key_str(w, "id", b->id);
    jsonw_key_str(w, "name", b->name);
    if (b->kind == BUNDLE_POLICY) {
        jsonw_key_str(w, "egress_mode", bundle_modes[b->mode]);
        bundle_key_text(w, "description", b->description);
        jsonw_key_bool(w, "is_default", b->is_default);
        jsonw_key_int(w, "rule_count", (int64_t)b->count);
    } else {
        jsonw_key_str(w, "provider_type", BUNDLE_TYPE);
        jsonw_key_int(w, "secret_count", (int64_t)b->count);
        bundle_write_entries(w, b, "secrets");
    }
    jsonw_key_bool(w, "is_system", false);
    jsonw_key_bool(w, "is_active", b->is_active);
    jsonw_key_time(w, "created_at", b->created_ms);
    jsonw_key_time(w, "updated_at", b->updated_ms);
    jsonw_object_end(w);
}

static void bundle_write_visit(void *ctx, const struct bundle *b)
{
    bundle_write(ctx, b);
}

/* --- answers, when a change is on disk --- */

static void bundle_answer(struct api_call *call, int status)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    struct bundle *b = bundle_of_call(call); /* another request may have removed it by now */
    if (b == NULL)
        return;
    jsonw_object(&w);
    jsonw_key(&w, bundle_words_of(call)->one);
    bundle_write(&w, b);
    jsonw_object_end(&w);
    api_reply(call, status, &body);
}

static void bundle_created(struct api_call *call)
{
    bundle_answer(call, 201);
}

static void bundle_updated(struct api_call *call)
{
    bundle_answer(call, 200);
}

static void bundle_entry_saved(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    struct bundle *b = bundle_of_call(call);
    const struct bundle_entry *e = b != NULL ? bundle_entry_of_call(call, b) : NULL;
    if (e == NULL)
        return;
    jsonw_object(&w);
    jsonw_key(&w, bundle_words_of(call)->entry);
    bundle_write_entry(&w, b, e);
    jsonw_object_end(&w);
    api_reply(call, call->req->method == METHOD_POST ? 201 : 200, &body);
}

/* --- create, list, get, update, delete --- */

static int bundle_read_word(const json *body, const char *field, const char *const *words, size_t n,
                            uint8_t *ret, struct error *err)
{
    const char *text = NULL;
    int rv = json_get_str(body, field, NULL, &text, err);
    if (rv < 0 || text == NULL)
        return rv;
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(words[i], text) == 0) {
            *ret = (uint8_t)i;
            return 0;
        }
    }
    return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' does not know '%.60s'", field, text);
}

/* What the body says, and the rest as it was in `f`. */
static int bundle_read(struct api_call *call, struct bundle_fields *f, struct error *err)
{
    static const char *const types[] = {BUNDLE_TYPE};
    uint8_t type = 0;
    int rv = json_get_str(call->body, "name", f->name, &f->name, err);
    if (rv == 0 && f->name == NULL)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'name' is required");
    if (rv == 0)
        rv = json_get_bool(call->body, "is_active", f->is_active, &f->is_active, err);
    if (rv == 0 && bundle_words_of(call)->kind == BUNDLE_PROVIDER)
        return bundle_read_word(call->body, "provider_type", types, 1, &type, err);
    if (rv == 0)
        rv = json_get_str(call->body, "description", f->description, &f->description, err);
    if (rv == 0)
        rv = json_get_bool(call->body, "is_default", f->is_default, &f->is_default, err);
    if (rv == 0)
        rv = bundle_read_word(call->body, "egress_mode", bundle_modes, ARRAY_SIZE(bundle_modes),
                              &f->mode, err);
    return rv;
}

/* The secrets that a provider is created with. */
static int bundle_add_secrets(struct api_call *call, struct bundle *b, struct error *err)
{
    const json *list = NULL, *item = NULL;
    json *body = call->body;
    int rv = b->kind == BUNDLE_PROVIDER ? json_get_array(body, "secrets", &list, err) : 0;
    cJSON_ArrayForEach(item, list)
    {
        struct bundle_entry_fields f;
        call->body = (json *)item; /* each is the body of a request of its own */
        if (rv == 0)
            rv = bundle_read_entry(call, b, NULL, &f, err);
        if (rv == 0)
            rv = bundle_set_entry(call->api->bundles, b, NULL, &f, NULL, err);
    }
    call->body = body;
    return rv;
}

void gravix_bundle_create(struct api_call *call)
{
    struct error err;
    struct bundle *b = NULL;
    struct bundle_fields f = {.mode = BUNDLE_ALLOWLIST, .is_active = true};
    int rv = bundle_read(call, &f, &err);
    if (rv == 0)
        rv = bundle_create(call->api->bundles, bundle_words_of(call)->kind, call->principal.account,
                           &f, &b, &err);
    if (rv == 0 && bundle_add_secrets(call, b, &err) < 0) {
        rv = -EINVAL;
        (void)bundle_delete(call->api->bundles, b, NULL);
    }
    if (rv == 0) {
        call->params[0] = arena_strndup(&call->req->arena, b->id, ID_SIZE - 1);
        rv = call->params[0] != NULL ? 0 : error_set(&err, ERROR_INTERNAL, "Out of memory");
    }
    if (rv < 0)
        api_fail(call, &err);
    else
        api_when_committed(call, bundle_created);
}

void gravix_bundle_list(struct api_call *call)
{
    struct api_list list;
    const struct bundle_words *words = bundle_words_of(call);
    const char *search = http_form_query(call->req, "search");
    api_list_begin(call, &list, words->many);
    unsigned int total = bundles_each(call->api->bundles, words->kind, call->principal.account,
                                      search, list.offset, list.limit, bundle_write_visit, &list.w);
    api_list_end(call, &list, total);
}

void gravix_bundle_get(struct api_call *call)
{
    bundle_answer(call, 200);
}

void gravix_bundle_update(struct api_call *call)
{
    struct error err;
    struct bundle *b = bundle_of_call(call);
    if (b == NULL)
        return;
    struct bundle_fields f = {.name = b->name,
                              .description = b->description,
                              .mode = b->mode,
                              .is_default = b->is_default,
                              .is_active = b->is_active};
    int rv = bundle_read(call, &f, &err);
    if (rv == 0)
        rv = bundle_update(call->api->bundles, b, &f, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    api_ties_changed(call->api, b);
    api_when_committed(call, bundle_updated);
}

void gravix_bundle_delete(struct api_call *call)
{
    struct error err;
    struct bundle *b = bundle_of_call(call);
    if (b == NULL)
        return;
    api_untie_all(call->api, b);
    if (bundle_delete(call->api->bundles, b, &err) < 0)
        api_fail(call, &err);
    else
        api_when_committed(call, gravix_succeeded);
}

/* --- entries --- */

static int bundle_read_rule(struct api_call *call, struct bundle_entry_fields *f, struct error *err)
{
    int64_t port = 0;
    int rv = json_get_str(call->body, "destination", f->name, &f->name, err);
    if (rv == 0 && f->name == NULL)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'destination' is required");
    if (rv == 0)
        rv = json_get_int(call->body, "port", f->port, 0, UINT16_MAX, &port, err);
    if (rv == 0)
        rv = bundle_read_word(call->body, "protocol", bundle_protocols,
                              ARRAY_SIZE(bundle_protocols), &f->protocol, err);
    if (rv == 0)
        rv = json_get_str(call->body, "description", f->description, &f->description, err);
    f->port = (uint16_t)port;
    return rv == 0 ? api_ties_check_rule(f->name, f->port, err) : rv;
}

static int bundle_read_entry(struct api_call *call, const struct bundle *b,
                             const struct bundle_entry *old, struct bundle_entry_fields *f,
                             struct error *err)
{
    *f = (struct bundle_entry_fields){.name = old != NULL ? old->name : NULL,
                                      .description = old != NULL ? old->description : NULL,
                                      .port = old != NULL ? old->port : 0,
                                      .protocol = old != NULL ? old->protocol : BUNDLE_TCP};
    if (b->kind == BUNDLE_POLICY)
        return bundle_read_rule(call, f, err);
    int rv = json_get_str(call->body, "key", f->name, &f->name, err);
    if (rv == 0)
        rv = json_get_str(call->body, "value", NULL, &f->value, err);
    if (rv == 0 && (f->name == NULL || (old == NULL && f->value == NULL)))
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Fields 'key' and 'value' are required");
    return rv;
}

/* A secret whose key is there already is replaced. */
static struct bundle_entry *bundle_same_key(struct bundle *b, const char *key)
{
    for (size_t i = 0; b->kind == BUNDLE_PROVIDER && i < b->count; i++) {
        if (strcmp(b->entries[i].name, key) == 0)
            return &b->entries[i];
    }
    return NULL;
}

static void bundle_set(struct api_call *call, struct bundle *b, struct bundle_entry *e)
{
    struct error err;
    struct bundle_entry_fields f;
    struct bundle_entry *set = NULL;
    int rv = bundle_read_entry(call, b, e, &f, &err);
    if (rv == 0 && e == NULL)
        e = bundle_same_key(b, f.name);
    if (rv == 0)
        rv = bundle_set_entry(call->api->bundles, b, e, &f, &set, &err);
    if (rv == 0) {
        call->params[1] = arena_strndup(&call->req->arena, set->id, ID_SIZE - 1);
        rv = call->params[1] != NULL ? 0 : error_set(&err, ERROR_INTERNAL, "Out of memory");
    }
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    api_ties_changed(call->api, b);
    api_when_committed(call, bundle_entry_saved);
}

void gravix_bundle_add(struct api_call *call)
{
    struct bundle *b = bundle_of_call(call);
    if (b != NULL)
        bundle_set(call, b, NULL);
}

void gravix_bundle_change(struct api_call *call)
{
    struct bundle *b = bundle_of_call(call);
    struct bundle_entry *e = b != NULL ? bundle_entry_of_call(call, b) : NULL;
    if (e != NULL)
        bundle_set(call, b, e);
}

void gravix_bundle_entries(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct bundle *b = bundle_of_call(call);
    if (b == NULL)
        return;
    jsonw_object(&w);
    bundle_write_entries(&w, b, bundle_words_of(call)->entries);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void gravix_bundle_remove(struct api_call *call)
{
    struct error err;
    struct bundle *b = bundle_of_call(call);
    struct bundle_entry *e = b != NULL ? bundle_entry_of_call(call, b) : NULL;
    if (e == NULL)
        return;
    if (bundle_drop_entry(call->api->bundles, b, e, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    api_ties_changed(call->api, b);
    api_when_committed(call, gravix_succeeded);
}

/* --- runtimes --- */

static void bundle_tie(struct api_call *call, const char *runtime,
                       int (*change)(struct api *api, struct sandbox *sb, const struct bundle *b,
                                     struct error *err))
{
    struct error err;
    struct bundle *b = bundle_of_call(call);
    struct sandbox *sb = b != NULL ? gravix_runtime_named(call, runtime) : NULL;
    if (sb == NULL)
        return;
    if (!sandbox_is_running(sb) && !sandbox_is_paused(sb))
        api_fail_code(call, ERROR_INVALID_STATE, "The runtime has ended, or does not run yet");
    else if (change(call->api, sb, b, &err) < 0)
        api_fail(call, &err);
    else
        api_when_committed(call, gravix_succeeded);
}

void gravix_bundle_attach(struct api_call *call)
{
    struct error err;
    const char *runtime = NULL;
    if (json_need_str(call->body, "runtime_id", &runtime, &err) < 0)
        api_fail(call, &err);
    else
        bundle_tie(call, runtime, api_tie);
}

void gravix_bundle_detach(struct api_call *call)
{
    bundle_tie(call, call->params[1], api_untie);
}

struct bundle_listing {
    struct jsonw *w;
    const struct sandbox *sb;
};

static void bundle_write_tied(void *ctx, const struct bundle *b)
{
    const struct bundle_listing *l = ctx;
    if (api_is_tied(l->sb, b->kind, b->id))
        bundle_write(l->w, b);
}

void gravix_bundle_of_runtime(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    const struct bundle_words *words = bundle_words_of(call);
    struct bundle_listing l = {.w = &w, .sb = gravix_runtime_named(call, call->params[0])};
    if (l.sb == NULL)
        return;
    jsonw_object(&w);
    jsonw_key(&w, words->many);
    jsonw_array(&w);
    (void)bundles_each(call->api->bundles, words->kind, call->principal.account, NULL, 0,
                       BUNDLE_MAX, bundle_write_tied, &l);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}
