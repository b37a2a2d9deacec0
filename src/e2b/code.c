/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - the code interpreter: code in a kernel of the sandbox, and the contexts that keep state.
 *
 * A client that gives up closes its connection, which interrupts the kernel and leaves its state.
 */
#include <errno.h>
#include <string.h>

#include "api/ask.h"
#include "api/context.h"
#include "api/feed.h"
#include "api/ties.h"
#include "e2b/internal.h"
#include "stream/describe.h"
#include "stream/tell.h"

struct code_args {
    const char *code, *context, *language;
    char **env; /* owned */
};

static int code_parse(struct api_call *call, struct code_args *a, struct error *err)
{
    int rv = json_need_str(call->body, "code", &a->code, err);
    if (rv == 0)
        rv = json_get_str(call->body, "context_id", NULL, &a->context, err);
    if (rv == 0)
        rv = json_get_str(call->body, "language", NULL, &a->language, err);
    if (rv == 0)
        rv = api_environment(call, call->body, "env_vars", &a->env, err);
    if (rv == 0 && a->context != NULL && a->language != NULL)
        rv = error_set(err, ERROR_INVALID_ARGUMENT,
                       "Only one of context_id and language can be provided");
    return rv;
}

static void code_execute(struct api_call *call)
{
    struct error err;
    struct code_args a = {0};
    struct api_context_name name = {.id = "", .language = "python"};
    struct buf request = {0};
    const struct feed_params feed = {.kind = EVENTS_OF_CODE, .writer = &tell_code};
    int rv = code_parse(call, &a, &err);
    if (rv == 0 && a.context != NULL)
        rv = api_context_parse(a.context, &name, &err);
    else if (rv == 0 && a.language != NULL)
        name.language = a.language;
    if (rv == 0) {
        const struct wire_code_params params = {
            .context = name.id, .language = name.language, .code = a.code, .env = a.env};
        wire_request_code(&request, &params);
        if (request.len > WIRE_MAX_PAYLOAD)
            rv = error_set(&err, ERROR_BODY_TOO_LARGE, "The code is too long");
    }
    free(a.env);
    if (rv < 0) {
        buf_done(&request);
        api_fail(call, &err);
        return;
    }
    sandbox_expect_code(call->sandbox);
    api_feed_start(call, &feed, &request);
}

/* --- contexts --- */

static void code_write_context(struct jsonw *w, const struct wire_context *context)
{
    cleanup_buf struct buf id = {0};
    api_context_id(&id, context);
    describe_span(w, "id", (struct span){(const char *)id.data, id.len});
    describe_span(w, "language", context->language);
    describe_span(w, "cwd", context->cwd);
}

static int code_take_context(struct ask *a, const struct wire_frame *frame)
{
    struct wire_context context;
    if (!wire_reply_context(frame, &context))
        return -EPROTO;
    code_write_context(&a->w, &context);
    return 1;
}

static void code_create(struct api_call *call)
{
    api_context_make(call, &(struct ask_params){.take = code_take_context});
}

static int code_take_listed(struct ask *a, const struct wire_frame *frame)
{
    struct wire_context context;
    if (!wire_reply_context(frame, &context))
        return -EPROTO;
    jsonw_object(&a->w);
    code_write_context(&a->w, &context);
    jsonw_object_end(&a->w);
    return 0;
}

static void code_list(struct api_call *call)
{
    struct buf request = {0};
    wire_request_context_list(&request);
    api_ask(call, &(struct ask_params){.take = code_take_listed, .array = ""}, &request);
}

static void code_restart(struct api_call *call)
{
    struct error err;
    struct api_context_name name;
    struct buf request = {0};
    if (api_context_parse(call->params[1], &name, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_context_restart(&request, name.id, name.language);
    api_step(call, &request, ERROR_CONTEXT_NOT_FOUND, e2b_step_done);
}

static void code_delete(struct api_call *call)
{
    struct buf request = {0};
    wire_request_context_delete(&request, call->params[1]);
    api_step(call, &request, ERROR_CONTEXT_NOT_FOUND, e2b_step_done);
}

#define RUN (API_SANDBOX | API_RUNNING)

static const struct api_route code_routes[] = {
    {METHOD_GET, "/health", RUN | API_STILL, SCOPE_READ, e2b_reply_empty},
    {METHOD_POST, "/execute", RUN | API_JSON, SCOPE_RUN, code_execute},
    {METHOD_POST, "/contexts", RUN | API_JSON, SCOPE_RUN, code_create},
    {METHOD_GET, "/contexts", RUN, SCOPE_READ, code_list},
    {METHOD_POST, "/contexts/:context/restart", RUN, SCOPE_RUN, code_restart},
    {METHOD_DELETE, "/contexts/:context", RUN, SCOPE_RUN, code_delete},
};

static const struct api_surface code_surface = {.admit = e2b_admit_code, .fail = e2b_fail_code};
const struct e2b_plane e2b_code_plane = {code_routes, ARRAY_SIZE(code_routes), &code_surface};
