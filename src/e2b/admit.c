/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admit.c - who may ask a sandbox: the holder of its token, of a signed URL, or of a way to its
 * port.
 *
 * The token stands for the sandbox's account: the request may do in this sandbox what its owner
 * may. Requests are not counted against a rate, since clients take a 429 here as a failure.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/wake.h"
#include "base/timefmt.h"
#include "e2b/internal.h"
#include "e2b/signature.h"

static const char *admit_header(struct api_call *call, const char *name)
{
    const struct http_str *header = http_header(call->req, name);
    return header != NULL ? header->data : "";
}

/* Runs, or will for a request. */
static bool admit_lives(const struct sandbox *sb)
{
    return sandbox_is_running(sb) || (sandbox_is_paused(sb) && sb->owner.life.auto_resume);
}

/* The sandbox of the request, whose owner the request now stands for. */
static struct sandbox *admit_sandbox(struct api_call *call, struct error *err)
{
    struct sandbox *sb = sandbox_table_find(call->api->sandboxes, call->params[0]);
    if (sb == NULL || !admit_lives(sb)) {
        error_set(err, ERROR_SANDBOX_GONE, "The sandbox was not found");
        return NULL;
    }
    call->principal.scopes = SCOPE_READ | SCOPE_RUN;
    (void)snprintf(call->principal.account, sizeof(call->principal.account), "%s",
                   sb->owner.account);
    return sb;
}

static bool admit_token(struct api_call *call, const char *purpose, const char *header)
{
    return grant_check(&call->api->grants, purpose, call->params[0], admit_header(call, header));
}

int e2b_admit_envd(struct api_call *call, struct error *err)
{
    if (admit_sandbox(call, err) == NULL)
        return -ENOENT;
    if (strcmp(call->route->pattern, "/health") == 0 ||
        admit_token(call, GRANT_ENVD, "X-Access-Token"))
        return 0;
    return error_set(err, ERROR_UNAUTHORIZED, "The access token is missing or wrong");
}

/* The sandbox whose token has signed a URL that names none. */
struct admit_search {
    struct api_call *call;
    const struct signed_url *url;
};

static bool admit_signed(void *ctx, const struct sandbox *sb)
{
    struct admit_search *s = ctx;
    char token[GRANT_TOKEN_SIZE];
    if (!admit_lives(sb))
        return false;
    grant_token(&s->call->api->grants, GRANT_ENVD, sb->id, token);
    if (!signature_matches(s->url, token))
        return false;
    s->call->params[0] = arena_strndup(&s->call->req->arena, sb->id, strlen(sb->id));
    return s->call->params[0] != NULL;
}

static int admit_signature(struct api_call *call, const struct signed_url *url, struct error *err)
{
    char token[GRANT_TOKEN_SIZE];
    struct admit_search search = {.call = call, .url = url};
    bool named = call->params[0] != NULL && call->params[0][0] != '\0';
    bool matches;
    if (named) {
        grant_token(&call->api->grants, GRANT_ENVD, call->params[0], token);
        matches = signature_matches(url, token);
    } else {
        matches = sandbox_table_search(call->api->sandboxes, admit_signed, &search);
    }
    if (!matches)
        return error_set(err, ERROR_UNAUTHORIZED, "The signature is wrong");
    if (signature_expired(url, time_now_ms() / 1000))
        return error_set(err, ERROR_UNAUTHORIZED, "The signature has expired");
    return admit_sandbox(call, err) != NULL ? 0 : -ENOENT;
}

int e2b_admit_files(struct api_call *call, struct error *err)
{
    const struct signed_url url = {
        .path = http_form_query(call->req, "path"),
        .username = http_form_query(call->req, "username"),
        .signature = http_form_query(call->req, "signature"),
        .expiration = http_form_query(call->req, "signature_expiration"),
        .write = call->req->method == METHOD_POST,
    };
    return url.signature != NULL ? admit_signature(call, &url, err) : e2b_admit_envd(call, err);
}

/* Requests about contexts carry the second token only. */
int e2b_admit_code(struct api_call *call, struct error *err)
{
    if (admit_sandbox(call, err) == NULL)
        return -ENOENT;
    if (strcmp(call->route->pattern, "/health") == 0 ||
        admit_token(call, GRANT_TRAFFIC, "E2B-Traffic-Access-Token") ||
        admit_token(call, GRANT_ENVD, "X-Access-Token"))
        return 0;
    return error_set(err, ERROR_UNAUTHORIZED, "The access token is missing or wrong");
}

/* What a port wants to see, it asks for itself (api/port_auth.h). */
int e2b_admit_port(struct api_call *call, struct error *err)
{
    return admit_sandbox(call, err) != NULL ? 0 : -ENOENT;
}
