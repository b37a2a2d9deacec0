/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.c - code/contexts: a kernel of its own for a client.
 *
 * Contexts are the bridge's, inside the sandbox, and the server keeps nothing of them: they end
 * with the sandbox, survive a restart of the server, and an id means nothing outside its sandbox.
 * That is why an id is not checked here beyond its length.
 */
#include <errno.h>
#include <string.h>

#include "api/ask.h"
#include "api/context.h"
#include "stream/describe.h"
#include "wire/reply.h"
#include "wire/request.h"

#define CONTEXT_LIFETIME_S 3600
#define CONTEXT_MAX_ID     128
#define CONTEXT_DEFAULT    "default-" /* and a language: the context of code that names none */

void api_context_id(struct buf *out, const struct wire_context *context)
{
    const struct span *name = context->id.len == 0 ? &context->language : &context->id;
    if (context->id.len == 0)
        (void)buf_append_str(out, CONTEXT_DEFAULT);
    (void)buf_append(out, name->data, name->len);
}

static void context_write(struct jsonw *w, const struct wire_context *context, bool details)
{
    cleanup_buf struct buf id = {0};
    api_context_id(&id, context);
    describe_span(w, "context_id", (struct span){(const char *)id.data, id.len});
    describe_span(w, "language", context->language);
    describe_span(w, "cwd", context->cwd);
    if (details)
        describe_span(w, "status", context->status);
    jsonw_key_time(w, "created_at", context->created_ms);
    jsonw_key_time(w, "expires_at", context->expires_ms);
    if (details)
        jsonw_key_time(w, "last_used", context->last_used_ms);
}

/* `flag`: with `status` and `last_used`. */
static int context_take(struct ask *a, const struct wire_frame *frame)
{
    struct wire_context context;
    if (!wire_reply_context(frame, &context))
        return -EPROTO;
    context_write(&a->w, &context, a->p.flag);
    return 1;
}

static int context_take_listed(struct ask *a, const struct wire_frame *frame)
{
    struct wire_context context;
    if (!wire_reply_context(frame, &context))
        return -EPROTO;
    jsonw_object(&a->w);
    context_write(&a->w, &context, true);
    jsonw_object_end(&a->w);
    return 0;
}

/* `text` is the message, `id` what it is about. */
static int context_take_done(struct ask *a, const struct wire_frame *frame)
{
    const char *id = a->op.call->params[1];
    int rv = api_ask_done(a, frame);
    if (rv > 0)
        jsonw_key_str(&a->w, "context_id", id);
    return rv;
}

/* Asks for a new context with a new id. */
static void context_request(struct buf *request, const char *language, const char *cwd)
{
    char id[4 + ID_SIZE] = "ctx_";
    id_new(id + 4);
    wire_request_context_create(
        request, &(struct wire_context_params){
                     .id = id, .language = language, .cwd = cwd, .lifetime_s = CONTEXT_LIFETIME_S});
}

void api_context_make(struct api_call *call, const struct ask_params *answer)
{
    struct error err;
    const char *language = NULL, *cwd = NULL;
    struct buf request = {0};
    int rv = json_get_str(call->body, "language", "python", &language, &err);
    if (rv == 0)
        rv = json_get_str(call->body, "cwd", "/home/user", &cwd, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    context_request(&request, language, cwd);
    api_ask(call, answer, &request);
}

void api_context_create(struct api_call *call)
{
    api_context_make(call, &(struct ask_params){.status = 201, .take = context_take});
}

int api_context_parse(const char *id, struct api_context_name *ret, struct error *err)
{
    size_t prefix = strlen(CONTEXT_DEFAULT);
    bool is_default = strncmp(id, CONTEXT_DEFAULT, prefix) == 0;
    *ret = (struct api_context_name){.id = is_default ? "" : id,
                                     .language = is_default ? id + prefix : ""};
    if (strlen(id) > CONTEXT_MAX_ID)
        return error_set(err, ERROR_CONTEXT_NOT_FOUND, "Context not found");
    return 0;
}

/* What the route's `:context` names. */
static bool context_named(struct api_call *call, struct api_context_name *ret)
{
    struct error err;
    if (api_context_parse(call->params[1], ret, &err) == 0)
        return true;
    api_fail(call, &err);
    return false;
}

void api_context_get(struct api_call *call)
{
    struct api_context_name name;
    struct buf request = {0};
    if (!context_named(call, &name))
        return;
    wire_request_context_get(&request, call->params[1]);
    api_ask(call, &(struct ask_params){.take = context_take, .flag = true}, &request);
}

void api_context_delete(struct api_call *call)
{
    struct api_context_name name;
    struct buf request = {0};
    if (!context_named(call, &name))
        return;
    wire_request_context_delete(&request, call->params[1]);
    api_ask(call,
            &(struct ask_params){.take = context_take_done, .text = "Context deleted successfully"},
            &request);
}

void api_context_interrupt(struct api_call *call)
{
    struct api_context_name name;
    struct buf request = {0};
    if (!context_named(call, &name))
        return;
    wire_request_context_interrupt(&request, name.id, name.language);
    api_ask(call, &(struct ask_params){.take = context_take_done, .text = "Context interrupted"},
            &request);
}

void api_context_restart(struct api_call *call)
{
    struct api_context_name name;
    struct buf request = {0};
    if (!context_named(call, &name))
        return;
    wire_request_context_restart(&request, name.id, name.language);
    api_ask(call, &(struct ask_params){.take = context_take_done, .text = "Context restarted"},
            &request);
}

void api_context_list(struct api_call *call)
{
    struct buf request = {0};
    wire_request_context_list(&request);
    api_ask(call, &(struct ask_params){.take = context_take_listed, .array = "contexts"}, &request);
}
