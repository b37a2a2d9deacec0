/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workflow.c - /api/v1/orchestrator/workflows: definitions, their runs and their states.
 *
 * The engine changes its memory first and the store after it. What a client is told must survive a
 * crash: answers to changes wait for the flush (answer_later), and answers to questions tell what
 * is on disk (wf_run_view).
 */
#include <string.h>

#include "api/api.h"

/* The workflow of the path, if it belongs to the account. NULL: the request has its answer. */
static struct workflow *find_workflow(struct api_call *call)
{
    struct workflow *wf = wf_find(&call->api->workflows, call->params[0]);
    if (wf == NULL)
        api_fail_code(call, ERROR_WORKFLOW_NOT_FOUND, "Workflow not found");
    else if (strcmp(wf->account, call->principal.account) != 0)
        api_fail_code(call, ERROR_FORBIDDEN, "The workflow belongs to another account");
    else
        return wf;
    return NULL;
}

/* The run of ?run_id=, or the latest. NULL: there is none; *ret_answered when that was the answer,
 * because the client named one. */
static struct wf_run *find_run(struct api_call *call, struct workflow *wf, bool *ret_answered)
{
    const char *id = http_query(call->req, "run_id");
    struct wf_run *run = wf_find_run(wf, id);
    *ret_answered = run == NULL && id != NULL;
    if (*ret_answered)
        api_fail_code(call, ERROR_WORKFLOW_NOT_FOUND, "Run not found");
    return run;
}

static const char *workflow_status(struct workflow *wf)
{
    struct wf_run *run = wf_find_run(wf, NULL);
    struct wf_run *view = run != NULL ? wf_run_view(run) : NULL;
    const char *status = view != NULL ? wf_run_status_str(view->status) : "created";
    wf_run_view_done(run, view);
    return status;
}

static void write_workflow(struct jsonw *w, struct workflow *wf)
{
    jsonw_key_str(w, "workflow_id", wf->id);
    jsonw_key_str(w, "name", wf->name);
    jsonw_key_str(w, "status", workflow_status(wf));
    jsonw_key_time(w, "creation_time", wf->created_ms);
}

/* An answer that is made now and sent when what it says is on disk. */
struct answer {
    int status;
    struct buf body;
};

static void answer_committed(struct api_call *call)
{
    struct answer *a = call->state;
    api_reply(call, a->status, &a->body);
}

static void answer_cancel(struct api_call *call)
{
    struct answer *a = call->state;
    buf_done(&a->body);
}

static struct answer *answer_new(struct api_call *call, int status)
{
    struct answer *a = arena_alloc(&call->req->arena, sizeof(*a));
    if (a == NULL)
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
    else
        a->status = status;
    return a;
}

static void answer_later(struct api_call *call, struct answer *a)
{
    call->state = a;
    call->cancel = answer_cancel;
    api_when_committed(call, answer_committed);
}

static void fail_with_faults(struct api_call *call, struct wf_faults *faults)
{
    struct error err;
    cleanup_buf struct buf details = {0};
    error_set(&err, ERROR_INVALID_WORKFLOW, "The definition has %u fault%s", faults->count,
              faults->count == 1 ? "" : "s");
    (void)buf_append_str(&details, "{\"faults\":[");
    (void)buf_append(&details, faults->json.data, faults->json.len);
    (void)buf_append_str(&details, "]}");
    api_fail_details(call, &err, buf_cstr(&details));
}

void api_workflow_create(struct api_call *call)
{
    struct error err;
    struct wf_def def = {0};
    struct wf_faults faults = {0};
    cleanup_buf struct buf text = {0};
    struct workflow *wf = NULL;
    struct answer *a = answer_new(call, 201);
    if (a == NULL)
        return;
    (void)json_print(&text, call->body);
    if (text.failed || text.len > WF_MAX_TEXT) {
        api_fail_code(call, ERROR_BODY_TOO_LARGE, "The definition exceeds 4 MiB");
        return;
    }
    int rv = wf_def_parse(&def, TAKE_PTR(call->body), &faults);
    if (rv == 0)
        wf = wf_create(&call->api->workflows, call->principal.account, &def, &text, &err);
    if (rv < 0)
        fail_with_faults(call, &faults);
    else if (wf == NULL)
        api_fail(call, &err);
    wf_faults_done(&faults);
    wf_def_done(&def);
    if (wf == NULL)
        return;
    struct jsonw w = {.out = &a->body};
    jsonw_object(&w);
    write_workflow(&w, wf);
    jsonw_object_end(&w);
    answer_later(call, a);
}

static void write_listed_workflow(void *ctx, struct workflow *wf)
{
    struct jsonw *w = ctx;
    jsonw_object(w);
    write_workflow(w, wf);
    jsonw_key_int(w, "steps", wf->n_steps);
    jsonw_key_int(w, "runs", wf->n_runs);
    jsonw_object_end(w);
}

void api_workflow_list(struct api_call *call)
{
    struct api_list list;
    api_list_begin(call, &list, "workflows");
    unsigned int total = wf_list(&call->api->workflows, call->principal.account, list.offset,
                                 list.limit, write_listed_workflow, &list.w);
    api_list_end(call, &list, total);
}

void api_workflow_get(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    cleanup_buf struct buf text = {0};
    struct workflow *wf = find_workflow(call);
    if (wf == NULL)
        return;
    if (wf_definition(&call->api->workflows, wf, &text) < 0) {
        api_fail_code(call, ERROR_STORAGE_FAILED, "The definition could not be read");
        return;
    }
    jsonw_object(&w);
    write_workflow(&w, wf);
    jsonw_key(&w, "definition");
    jsonw_raw(&w, (const char *)text.data, text.len);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

void api_workflow_delete(struct api_call *call)
{
    struct error err;
    struct workflow *wf = find_workflow(call);
    struct answer *a = wf != NULL ? answer_new(call, 200) : NULL;
    if (a == NULL)
        return;
    if (wf_delete(&call->api->workflows, wf, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    struct jsonw w = {.out = &a->body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Workflow deleted successfully");
    jsonw_key_str(&w, "workflow_id", call->params[0]);
    jsonw_object_end(&w);
    answer_later(call, a);
}

static void write_run(struct jsonw *w, const struct wf_run *run)
{
    jsonw_key_str(w, "run_id", run->id);
    jsonw_key_str(w, "status", wf_run_status_str(run->status));
    jsonw_key_time(w, "started_at", run->started_ms);
    jsonw_key_time(w, "completed_at", run->ended_ms);
}

/* Answers with the run as it is now, when that is on disk. */
static void answer_run(struct api_call *call, struct answer *a, const struct workflow *wf,
                       const struct wf_run *run)
{
    struct jsonw w = {.out = &a->body};
    jsonw_object(&w);
    jsonw_key_str(&w, "workflow_id", wf->id);
    write_run(&w, run);
    jsonw_object_end(&w);
    answer_later(call, a);
}

void api_workflow_start(struct api_call *call)
{
    struct error err;
    const char *flag = http_query(call->req, "parallel");
    bool parallel = flag != NULL && strcmp(flag, "true") == 0;
    struct workflow *wf = find_workflow(call);
    struct answer *a = wf != NULL ? answer_new(call, 200) : NULL;
    if (a == NULL)
        return;
    const struct wf_run *run = wf_start(&call->api->workflows, wf, parallel, &err);
    if (run == NULL) {
        api_fail(call, &err);
        return;
    }
    answer_run(call, a, wf, run);
}

void api_workflow_cancel(struct api_call *call)
{
    bool answered = false;
    struct workflow *wf = find_workflow(call);
    if (wf == NULL)
        return;
    struct wf_run *run = find_run(call, wf, &answered);
    if (answered)
        return;
    if (run == NULL || wf_run_is_over(run->status)) {
        api_fail_code(call, ERROR_CONFLICT, "No run is under way");
        return;
    }
    struct answer *a = answer_new(call, 200);
    if (a == NULL)
        return;
    wf_run_cancel(run);
    answer_run(call, a, wf, run);
}

void api_workflow_runs(struct api_call *call)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    struct workflow *wf = find_workflow(call);
    if (wf == NULL)
        return;
    jsonw_object(&w);
    jsonw_key(&w, "runs");
    jsonw_array(&w);
    unsigned int total = 0;
    list_for_each (it, &wf->runs) {
        struct wf_run *run = list_entry(it, struct wf_run, node);
        struct wf_run *view = wf_run_view(run);
        if (view == NULL)
            continue;
        jsonw_object(&w);
        write_run(&w, view);
        jsonw_object_end(&w);
        wf_run_view_done(run, view);
        total++;
    }
    jsonw_array_end(&w);
    jsonw_key_int(&w, "total", total);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

static void write_text(struct jsonw *w, const char *key, const struct buf *text)
{
    jsonw_key(w, key);
    jsonw_strn(w, (const char *)text->data, text->len);
}

/* A text, or null. */
static void write_reason(struct jsonw *w, const char *error)
{
    jsonw_key(w, "error");
    if (error != NULL)
        jsonw_str(w, error);
    else
        jsonw_null(w);
}

static void write_output(struct jsonw *w, struct wf_run *run, unsigned int i)
{
    struct wf_step *s = &run->steps[i];
    bool was_loaded = s->output.loaded;
    jsonw_key(w, "output");
    if (!s->has_output || wf_output_load(run, i) < 0) {
        jsonw_null(w);
        return;
    }
    jsonw_object(w);
    write_text(w, "stdout", &s->output.out);
    write_text(w, "stderr", &s->output.err);
    if (s->output.has_result) {
        write_text(w, "result", &s->output.result);
    } else {
        jsonw_key(w, "result");
        jsonw_null(w);
    }
    jsonw_key_int(w, "exit_code", s->exit_code);
    jsonw_key_int(w, "duration_ms", s->duration_ms);
    jsonw_object_end(w);
    if (!was_loaded)
        wf_output_done(&s->output);
}

/* `run` NULL: the workflow was never started. */
static void write_steps(struct jsonw *w, struct wf_run *run, const struct wf_def *def)
{
    static const struct wf_step never = {.status = WF_STEP_PENDING};
    jsonw_key(w, "steps");
    jsonw_array(w);
    for (unsigned int i = 0; i < def->n_steps; i++) {
        const struct wf_step *s = run != NULL ? &run->steps[i] : &never;
        jsonw_object(w);
        jsonw_key_str(w, "name", def->steps[i].name);
        jsonw_key_str(w, "type", wf_type_name(def->steps[i].type));
        jsonw_key_str(w, "status", wf_step_status_str(s->status));
        jsonw_key_int(w, "attempts", s->attempts);
        jsonw_key_time(w, "started_at", s->started_ms);
        jsonw_key_time(w, "completed_at", s->ended_ms);
        if (run != NULL) {
            write_output(w, run, i);
        } else {
            jsonw_key(w, "output");
            jsonw_null(w);
        }
        write_reason(w, s->error);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

/* `run` as it is on disk, NULL: the workflow was never started. */
static void write_status(struct jsonw *w, const struct workflow *wf, struct wf_run *run,
                         const struct wf_def *def)
{
    jsonw_object(w);
    jsonw_key_str(w, "workflow_id", wf->id);
    jsonw_key_str(w, "name", wf->name);
    jsonw_key(w, "run_id");
    if (run != NULL)
        jsonw_str(w, run->id);
    else
        jsonw_null(w);
    jsonw_key_str(w, "status", run != NULL ? wf_run_status_str(run->status) : "created");
    write_steps(w, run, def);
    jsonw_key_time(w, "started_at", run != NULL ? run->started_ms : 0);
    jsonw_key_time(w, "completed_at", run != NULL ? run->ended_ms : 0);
    write_reason(w, run != NULL ? run->error : NULL);
    jsonw_object_end(w);
}

void api_workflow_status(struct api_call *call)
{
    bool answered = false;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    struct wf_def loaded = {0};
    struct workflow *wf = find_workflow(call);
    if (wf == NULL)
        return;
    struct wf_run *run = find_run(call, wf, &answered);
    if (answered)
        return;
    bool active = run != NULL && run->active;
    if (!active && wf_load(&call->api->workflows, wf, &loaded) < 0) {
        api_fail_code(call, ERROR_STORAGE_FAILED, "The definition could not be read");
        return;
    }
    struct wf_run *view = run != NULL ? wf_run_view(run) : NULL;
    write_status(&w, wf, view, active ? &run->def : &loaded);
    wf_run_view_done(run, view);
    api_reply(call, 200, &body);
    wf_def_done(&loaded);
}
