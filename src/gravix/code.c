/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - code in a context, or, without one, in a kernel of its own that ends with the run.
 *
 * The happy path of a run without a context is: a context is made, the code runs in it as in any
 * other, and when the request is over the context is deleted. Possible failure modes are: the
 * client goes away (the run is interrupted, the context deleted all the same); the server ends
 * before it has deleted it (it expires).
 */
#include "api/code.h"

#include <errno.h>
#include <string.h>

#include "api/step.h"
#include "gravix/internal.h"
#include "stream/result.h"

#define CODE_LIFETIME_S 300 /* of such a context, beyond the time-out */
#define CODE_DELETE_MS  60000

/* --- answers --- */

static void code_write_logs(struct jsonw *w, const char *key, const struct buf *lines)
{
    jsonw_key(w, key);
    jsonw_array(w);
    if (lines->len > 0)
        jsonw_raw(w, (const char *)lines->data, lines->len);
    jsonw_array_end(w);
}

static void code_write(struct jsonw *w, struct code_result *r)
{
    const json *shown = NULL;
    code_result_finish(r);
    jsonw_object(w);
    jsonw_key(w, "results");
    jsonw_array(w);
    cJSON_ArrayForEach(shown, r->displays)
    {
        jsonw_object(w);
        result_members(w, shown);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
    jsonw_key(w, "logs");
    jsonw_object(w);
    code_write_logs(w, "stdout", &r->out.lines);
    code_write_logs(w, "stderr", &r->err.lines);
    jsonw_object_end(w);
    jsonw_key(w, "error");
    if (r->error.len > 0)
        jsonw_raw(w, (const char *)r->error.data, r->error.len);
    else
        jsonw_null(w);
    jsonw_object_end(w);
}

/* A time-out is an error of the code: what it has said by then is part of the answer. */
static void code_reply_run(struct api_call *call, struct code_run *run)
{
    struct error err;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    if (code_timeout_error(run, &err) < 0)
        code_result_set_error(&run->result, GRAVIX_TIMEOUT_NAME, err.message);
    code_write(&w, &run->result);
    api_reply(call, 200, &body);
}

/* --- run --- */

/* The context of the body, or the one that was made for this run. */
static void code_run_in(struct api_call *call, const char *context)
{
    const struct code_speech speech = {.default_s = GRAVIX_TIMEOUT_S,
                                       .all_results = true,
                                       .lines = true,
                                       .writer = &gravix_speak_code,
                                       .reply = code_reply_run};
    code_run(call, &speech, context);
}

/* Deletes a context after its request; nobody waits for it. */
struct code_farewell {
    struct agent_call agent;
};

static void farewell_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    agent_call_close(agent);
}

static void farewell_failed(struct agent_call *agent, const struct error *err)
{
    agent_call_close(agent); /* the context expires */
}

static void farewell_closed(struct agent_call *agent)
{
    free(container_of(agent, struct code_farewell, agent));
}

static const struct agent_call_handler farewell_handler = {
    .frame = farewell_frame, .failed = farewell_failed, .closed = farewell_closed};

/* The sandbox may be gone by now, or another one may have its memory. */
static void code_over(struct api_call *call)
{
    struct buf request = {0};
    struct sandbox *sb = sandbox_table_find(call->api->sandboxes, call->params[0]);
    if (sb == NULL || !sandbox_is_running(sb))
        return;
    struct code_farewell *f = calloc(1, sizeof(*f));
    wire_request_context_delete(&request, call->params[1]);
    if (f == NULL ||
        agent_call_start(&f->agent, &sb->target, &farewell_handler, &request, CODE_DELETE_MS) < 0) {
        buf_done(&request);
        free(f);
    }
}

static void code_context_made(struct api_call *call, const struct wire_frame *frame,
                              const struct error *err)
{
    struct wire_context context;
    if (frame != NULL && wire_reply_context(frame, &context))
        code_run_in(call, call->params[1]);
    else
        api_step_failed(call, err);
}

static void code_run_alone(struct api_call *call, const struct code_run_args *args)
{
    struct buf request = {0};
    char id[5 + ID_SIZE] = "once_";
    id_new(id + 5);
    call->params[1] = arena_strndup(&call->req->arena, id, strlen(id));
    /* By now in the form that the table of sandboxes knows. */
    call->params[0] = arena_strndup(&call->req->arena, call->sandbox->id, ID_SIZE - 1);
    if (call->params[0] == NULL || call->params[1] == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    const struct wire_context_params p = {.id = id,
                                          .language = args->language,
                                          .cwd = GRAVIX_HOME,
                                          .lifetime_s = (uint32_t)args->timeout_s * 2 +
                                                        CODE_LIFETIME_S};
    call->over = code_over;
    sandbox_expect_code(call->sandbox);
    wire_request_context_create(&request, &p);
    api_step(call, &request, ERROR_NONE, code_context_made);
}

void gravix_code_run(struct api_call *call)
{
    struct error err;
    struct code_run_args args = {0};
    int rv = code_run_parse(call, GRAVIX_TIMEOUT_S, &args, &err);
    free(args.env);
    if (rv < 0)
        api_fail(call, &err);
    else if (args.context[0] != '\0')
        code_run_in(call, args.context);
    else
        code_run_alone(call, &args);
}

/* A context starts where commands do, unless the client says otherwise. */
void gravix_context_create(struct api_call *call)
{
    struct error err;
    const char *cwd = NULL;
    int rv = json_get_str(call->body, "cwd", "", &cwd, &err);
    if (rv == 0)
        cwd = gravix_directory(call, cwd, &err);
    if (rv < 0 || cwd == NULL) {
        api_fail(call, &err);
        return;
    }
    json *path = cJSON_CreateString(cwd); /* `cwd` may be of the field that goes */
    cJSON_DeleteItemFromObjectCaseSensitive(call->body, "cwd");
    cJSON_AddItemToObject(call->body, "cwd", path);
    api_context_create(call);
}
