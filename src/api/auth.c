/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - /api/v1/auth: a password or a refresh token becomes tokens, and tokens are revoked.
 *
 * The happy path is: the throttle lets the name and the address pass, a thread of the password pool
 * hashes the password, the session is stored, and the tokens leave once that is on disk. Possible
 * failure modes are: a wrong password or an unknown name, which take the same time and get the same
 * answer; too many of them (429); a full pool (503); a user that changed while the thread was busy.
 * Each attempt counts as a failure before it is checked, so that many at once cannot slip through.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/api.h"
#include "base/log.h"
#include "core/metrics.h"

#define AUTH_FORM "application/x-www-form-urlencoded"

/* A password that is being checked. A thread of the pool uses it, so it outlives a client that goes
 * away. */
struct sign_in {
    struct password_check check;
    struct api_call *call; /* NULL: the client went away */
    struct api *api;
    struct user user;
    bool known;
    char *peer; /* owned, as are the two below */
    char *name;
    char *budget; /* what counts the tries: budget_of */
};

/* The answer while it is committed; in the request's arena. */
struct issued {
    struct token_pair pair;
    struct error refused;
    bool failed;
};

static void sign_in_checked(struct password_check *check);

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* One field of a form, decoded into the arena; NULL when absent, broken or with a NUL. */
static const char *form_get(struct http_request *req, const char *name)
{
    const char *p = (const char *)req->body.data, *end = p + req->body.len;
    size_t name_len = strlen(name);
    while (p != NULL && p < end) {
        const char *next = memchr(p, '&', (size_t)(end - p));
        size_t len = next != NULL ? (size_t)(next - p) : (size_t)(end - p);
        if (len > name_len && memcmp(p, name, name_len) == 0 && p[name_len] == '=') {
            char *value = arena_strndup(&req->arena, p + name_len + 1, len - name_len - 1);
            for (char *c = value; value != NULL && *c != '\0'; c++)
                *c = *c == '+' ? ' ' : *c;
            return value != NULL ? http_unescape(req, value, strlen(value)) : NULL;
        }
        p = next != NULL ? next + 1 : end;
    }
    return NULL;
}

static bool body_is_form(const struct http_request *req)
{
    const struct http_str *type = http_header(req, "Content-Type");
    size_t len = strlen(AUTH_FORM);
    /* curl calls all data a form: an object is JSON whatever its type says. */
    return type != NULL && type->len >= len && strncasecmp(type->data, AUTH_FORM, len) == 0 &&
           (req->body.len == 0 || req->body.data[0] != '{');
}

/* Reads the body as JSON unless it is a form; answers 400 for one that is neither. */
static bool auth_body(struct api_call *call)
{
    struct error err;
    if (body_is_form(call->req))
        return true;
    call->body = json_parse_object(call->req->body.data, call->req->body.len, &err);
    if (call->body == NULL)
        api_fail(call, &err);
    return call->body != NULL;
}

static int auth_field(struct api_call *call, const char *name, const char *fallback,
                      const char **ret, struct error *err)
{
    if (call->body != NULL)
        return fallback != NULL ? json_get_str(call->body, name, fallback, ret, err)
                                : json_need_str(call->body, name, ret, err);
    const char *value = form_get(call->req, name);
    *ret = value != NULL ? value : fallback;
    if (*ret == NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' is missing", name);
    return 0;
}

static void tokens_committed(struct api_call *call)
{
    struct issued *issued = call->state;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    if (issued->failed) {
        api_fail(call, &issued->refused);
        return;
    }
    jsonw_object(&w);
    jsonw_key_str(&w, "access_token", issued->pair.access);
    jsonw_key_str(&w, "token_type", "bearer");
    jsonw_key_int(&w, "expires_in", TOKEN_ACCESS_S);
    jsonw_key_str(&w, "refresh_token", issued->pair.refresh);
    jsonw_object_end(&w);
    free(TAKE_PTR(issued->pair.access));
    (void)http_add_header(call->req, "Cache-Control", "no-store");
    api_reply(call, 200, &body);
}

static void tokens_cancel(struct api_call *call)
{
    struct issued *issued = call->state;
    free(TAKE_PTR(issued->pair.access));
}

/* Answers once the session's change is on disk. */
static void answer_tokens(struct api_call *call, struct issued *issued)
{
    call->state = issued;
    call->cancel = tokens_cancel;
    api_when_committed(call, tokens_committed);
}

static void grant_refresh(struct api_call *call)
{
    struct error err;
    const char *text = NULL;
    struct issued *issued = arena_alloc(&call->req->arena, sizeof(*issued));
    int rv = auth_field(call, "refresh_token", NULL, &text, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    if (issued == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    issued->failed = token_refresh(call->api->auth.tokens, text, strlen(text), &issued->pair,
                                   &issued->refused) < 0;
    answer_tokens(call, issued);
}

static void sign_in_free(struct sign_in *s)
{
    free(s->peer);
    free(s->name);
    free(s->budget);
    free(s);
}

static void sign_in_cancel(struct api_call *call)
{
    struct sign_in *s = call->state;
    s->call = NULL;
}

/* An address from which the user has signed in has a budget of its own: those who guess from
 * elsewhere cannot lock the owner out. All others share the one of the name. */
static const char *budget_of(struct http_request *req, const struct api *api, const char *name,
                             const char *peer)
{
    const char *pair = arena_printf(&req->arena, "%s\n%s", name, peer);
    return pair != NULL && throttle_knows(&api->known, "pair", pair) ? pair : name;
}

/* 429 when the name or the address has failed too often, whether or not there is such a user. */
static bool throttled(struct api_call *call, const char *budget, const char *peer)
{
    const struct throttle *t = &call->api->throttle;
    uint64_t wait = throttle_wait(t, "user", budget, now_ms());
    wait = MAX(wait, throttle_wait(t, "address", peer, now_ms()));
    if (wait == 0)
        return false;
    call->retry_after_s = (unsigned int)((wait + 999) / 1000);
    api_fail_code(call, ERROR_RATE_LIMITED, "Too many wrong passwords, try again later");
    return true;
}

static void grant_password(struct api_call *call)
{
    struct error err;
    struct api *api = call->api;
    const char *name = NULL, *password = NULL, *peer = http_peer(call->req);
    int rv = auth_field(call, "username", NULL, &name, &err);
    if (rv == 0)
        rv = auth_field(call, "password", NULL, &password, &err);
    if (rv != 0) {
        api_fail(call, &err);
        return;
    }
    const char *budget = budget_of(call->req, api, name, peer);
    if (throttled(call, budget, peer))
        return;
    struct sign_in *s = calloc(1, sizeof(*s));
    if (s != NULL) {
        s->call = call;
        s->api = api;
        s->peer = strdup(peer);
        s->name = strdup(name);
        s->budget = strdup(budget);
        s->known = user_get(api->store, name, &s->user) == 0;
        if (!s->known)
            user_nobody(&s->user);
        s->check.password = s->user.password;
        s->check.renew = s->known;
    }
    rv = s != NULL && s->peer != NULL && s->name != NULL && s->budget != NULL &&
                 strlen(password) <= PASSWORD_MAX
             ? password_check_start(&api->passwords, &s->check, password, sign_in_checked)
             : -ENOMEM;
    if (rv < 0) {
        if (s != NULL)
            sign_in_free(s);
        if (strlen(password) > PASSWORD_MAX)
            api_fail_code(call, ERROR_UNAUTHORIZED, "The user name or the password is wrong");
        else
            api_fail_code(call, ERROR_UNAVAILABLE, "Too many people sign in now");
        return;
    }
    throttle_count(&api->throttle, "user", budget, now_ms());
    throttle_count(&api->throttle, "address", peer, now_ms());
    call->state = s;
    call->cancel = sign_in_cancel;
}

/* The password is right: failures in this budget are forgiven. Those of the address are not, or the
 * owner of one account could guess at others without end. */
static void sign_in_matched(struct sign_in *s)
{
    char pair[1024];
    (void)snprintf(pair, sizeof(pair), "%s\n%s", s->name, s->peer);
    throttle_count(&s->api->known, "pair", pair, now_ms());
    throttle_forgive(&s->api->throttle, "user", s->budget, true);
    throttle_forgive(&s->api->throttle, "address", s->peer, false);
    if (s->check.renewed) {
        s->user.password = s->check.password;
        if (user_put(s->api->store, &s->user) == 0)
            log_info("password hashed anew", "user=%s", s->user.name);
    }
    struct api_call *call = s->call;
    struct issued *issued = call != NULL ? arena_alloc(&call->req->arena, sizeof(*issued)) : NULL;
    if (call == NULL)
        return;
    if (issued == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    issued->failed = token_issue(s->api->auth.tokens, &s->user, &issued->pair, &issued->refused) <
                     0;
    answer_tokens(call, issued);
}

static void sign_in_checked(struct password_check *check)
{
    struct sign_in *s = container_of(check, struct sign_in, check);
    bool matches = check->matches && s->known;
    struct user now;
    /* The user may have been deleted, or got another password, while the thread was busy. */
    if (matches &&
        (user_get(s->api->store, s->user.name, &now) < 0 || now.generation != s->user.generation))
        matches = false;
    if (matches) {
        sign_in_matched(s);
    } else {
        metrics_add(METRIC_AUTH_FAILED, 1);
        if (s->call != NULL)
            api_fail_code(s->call, ERROR_UNAUTHORIZED, "The user name or the password is wrong");
    }
    sign_in_free(s);
}

void api_auth_token(struct api_call *call)
{
    struct error err;
    const char *grant = NULL;
    if (!auth_body(call))
        return;
    if (auth_field(call, "grant_type", "password", &grant, &err) < 0)
        api_fail(call, &err);
    else if (strcmp(grant, "password") == 0)
        grant_password(call);
    else if (strcmp(grant, "refresh_token") == 0)
        grant_refresh(call);
    else
        api_fail_code(call, ERROR_INVALID_ARGUMENT,
                      "Field 'grant_type' must be password or refresh_token");
}

void api_auth_refresh(struct api_call *call)
{
    if (auth_body(call))
        grant_refresh(call);
}

static void revoked(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Token revoked successfully");
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

/* RFC 7009: whoever holds a token may revoke it, and an unknown token counts as revoked. */
void api_auth_revoke(struct api_call *call)
{
    struct error err;
    const char *token = NULL;
    if (!auth_body(call))
        return;
    if (auth_field(call, "token", NULL, &token, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    if (token_revoke(call->api->auth.tokens, token, strlen(token)) < 0) {
        api_fail_code(call, ERROR_STORAGE_FAILED, "The change could not be written to disk");
        return;
    }
    api_when_committed(call, revoked);
}

static void rotated(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Signing key replaced");
    jsonw_key_str(&w, "kid", token_key_id(call->api->auth.tokens));
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void api_auth_rotate(struct api_call *call)
{
    if (token_rotate(call->api->auth.tokens) < 0)
        api_fail_code(call, ERROR_INTERNAL, "The key could not be made");
    else
        api_when_committed(call, rotated);
}
