/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - code/run: code in a Jupyter kernel of the sandbox.
 *
 * The happy path is: CODE_RUN, events into the result (code_result.h), CODE_DONE, the answer. Code
 * that raises is a success of the route, with the error in the body. Possible failure modes are:
 * the time-out (the bridge interrupts the kernel and, when it ignores that, restarts it: 408 with
 * the output so far); the kernel dies (an error in the body, as the client's state is lost).
 *
 * The deadline of the call is far beyond the time-out: a run waits its turn behind other runs of
 * its context, and a kernel may have to start first. The time-out counts from when the code starts.
 * That the sandbox hangs is noticed earlier (code_watch.h).
 *
 * With ?stream=true the answer is a feed of the same CODE_RUN.
 */
#include <inttypes.h>
#include <string.h>

#include "api/code_result.h"
#include "api/code_watch.h"
#include "api/feed.h"
#include "api/op.h"
#include "sandbox/oom.h"
#include "wire/reply.h"
#include "wire/request.h"

#define CODE_TIMEOUT_S   30
#define CODE_GRACE_MS    300000 /* interrupt, start of a kernel, the wait behind another run */
#define CODE_SLACK_MS    1000   /* the bridge ends a run in time; then it is asked */
#define CODE_MAX_CONTEXT 128    /* bytes of a context id */
#define CODE_MAX_FIELD   64     /* bytes of a language */

struct run {
    struct api_op op;
    struct code_watch watch; /* from the start of the operation on */
    struct code_result result;
    char execution_id[24];
    int64_t timeout_s;
    struct sandbox_oom oom;
};

static void run_frame(struct api_op *op, const struct wire_frame *frame);
static void run_release(struct api_op *op);
static void run_silent(struct code_watch *watch);
static void run_watch_closed(struct code_watch *watch);

static const struct api_op_ops run_ops = {.frame = run_frame, .release = run_release};

struct run_args {
    const char *code, *language, *context;
    char **env;
    int64_t timeout_s;
};

/* The answer always has all output, values and errors; the flags are only checked. */
static int parse_flags(struct api_call *call, struct error *err)
{
    static const char *const flags[] = {"on_stdout", "on_stderr", "on_error", "on_result"};
    bool wanted;
    int rv = 0;
    for (size_t i = 0; i < ARRAY_SIZE(flags) && rv == 0; i++)
        rv = json_get_bool(call->body, flags[i], false, &wanted, err);
    return rv;
}

static int parse_run(struct api_call *call, struct run_args *a, struct error *err)
{
    int64_t max = api_run_time_max(call);
    int rv = json_need_str(call->body, "code", &a->code, err);
    if (rv == 0)
        rv = json_get_str(call->body, "language", "python", &a->language, err);
    if (rv == 0)
        rv = json_get_str(call->body, "context_id", "", &a->context, err);
    if (rv == 0)
        rv = json_get_int(call->body, "timeout", 0, 0, max, &a->timeout_s, err);
    if (rv == 0)
        rv = json_get_env(call->body, "environment", &a->env, err);
    if (rv == 0)
        rv = api_check_list(a->env, "environment", err);
    if (rv == 0)
        rv = parse_flags(call, err);
    if (rv == 0 && strlen(a->language) > CODE_MAX_FIELD)
        rv = error_set(err, ERROR_UNSUPPORTED_LANGUAGE, "Unknown language");
    if (rv == 0 && strlen(a->context) > CODE_MAX_CONTEXT)
        rv = error_set(err, ERROR_CONTEXT_NOT_FOUND, "Context not found");
    if (rv == 0 && a->timeout_s == 0)
        a->timeout_s = MIN(max, CODE_TIMEOUT_S);
    return rv;
}

static void encode_run(struct buf *request, const struct run_args *a)
{
    const struct wire_code_params params = {.context = a->context,
                                            .language = a->language,
                                            .code = a->code,
                                            .env = a->env,
                                            .timeout_ms = (uint32_t)a->timeout_s * 1000};
    wire_request_code(request, &params);
}

static void code_collect(struct api_call *call, const struct run_args *a, struct buf *request,
                         uint64_t timeout_ms)
{
    struct run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        buf_done(request);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    run->timeout_s = a->timeout_s;
    sandbox_oom_mark(&run->oom, call->sandbox);
    memcpy(run->execution_id, "exec_", 5);
    id_token(run->execution_id + 5, 12);
    code_result_init(&run->result, (size_t)call->api->config->max_output);
    code_watch_start(&run->watch, call->sandbox, (uint64_t)run->timeout_s * 1000 + CODE_SLACK_MS,
                     run_silent, run_watch_closed);
    api_op_start(&run->op, call, &run_ops, request, timeout_ms);
}

void api_code_run(struct api_call *call)
{
    struct error err;
    struct run_args args = {0};
    struct buf request = {0};
    int rv = parse_run(call, &args, &err);
    if (rv == 0) {
        encode_run(&request, &args);
        if (request.len > WIRE_MAX_PAYLOAD)
            rv = error_set(&err, ERROR_BODY_TOO_LARGE, "The code exceeds %u bytes",
                           WIRE_MAX_PAYLOAD);
    }
    free(args.env);
    if (rv < 0) {
        buf_done(&request);
        api_fail(call, &err);
        return;
    }
    uint64_t timeout_ms = (uint64_t)args.timeout_s * 2000 + CODE_GRACE_MS;
    sandbox_expect_code(call->sandbox);
    if (!api_query_is_true(call, "stream")) {
        code_collect(call, &args, &request, timeout_ms);
        return;
    }
    const struct feed_params feed = {
        .kind = EVENTS_OF_CODE, .writer = &event_sse_code, .timeout_ms = timeout_ms};
    api_feed_start(call, &feed, &request);
}

/* Nobody in the sandbox has said anything since the time-out passed. */
static void run_silent(struct code_watch *watch)
{
    struct run *run = container_of(watch, struct run, watch);
    struct error err;
    cleanup_buf struct buf details = {0};
    struct api_call *call = api_op_close(&run->op);
    if (call == NULL)
        return;
    sandbox_suspect(call->sandbox);
    code_result_print(&run->result, &details, run->execution_id);
    error_set(&err, ERROR_TIMEOUT,
              "Code execution timed out after %" PRId64 " s; the sandbox does "
              "not answer",
              run->timeout_s);
    (void)http_add_header(call->req, "X-Corral-Reason", sandbox_trouble(call->sandbox));
    api_fail_details(call, &err, buf_cstr(&details));
}

static void code_timed_out(struct api_call *call, struct run *run, bool restarted)
{
    struct error err;
    cleanup_buf struct buf details = {0};
    code_result_print(&run->result, &details, run->execution_id);
    error_set(&err, ERROR_TIMEOUT, "Code execution timed out after %" PRId64 " s; %s",
              run->timeout_s,
              restarted ? "the kernel ignored the interrupt and was restarted"
                        : "it was interrupted and its state is kept");
    api_fail_details(call, &err, buf_cstr(&details));
}

static void run_finished(struct run *run, const struct wire_frame *frame)
{
    struct buf body = {0};
    struct wire_code_done done;
    if (!wire_reply_code_done(frame, &done)) {
        api_op_bad_frame(&run->op);
        return;
    }
    struct api_call *call = api_op_close(&run->op);
    if (call == NULL)
        return;
    if (done.status == WIRE_CODE_TIMED_OUT || done.status == WIRE_CODE_RESTARTED) {
        code_timed_out(call, run, done.status == WIRE_CODE_RESTARTED);
        return;
    }
    if (done.status == WIRE_CODE_KERNEL_DIED) {
        char text[WIRE_DEATH_TEXT_MAX];
        sandbox_oom_judge(&run->oom, call->sandbox, &done.how);
        wire_reply_death(&done, text);
        code_result_set_error(&run->result, "KernelDied", text);
    }
    code_result_print(&run->result, &body, run->execution_id);
    api_reply(call, 200, &body);
}

static void run_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct run *run = container_of(op, struct run, op);
    sandbox_heard_bridge(run->watch.sandbox);
    if (frame->type == WIRE_CODE_DONE)
        run_finished(run, frame);
    else if (code_result_add(&run->result, frame) < 0)
        api_op_bad_frame(op);
}

static void run_release(struct api_op *op)
{
    struct run *run = container_of(op, struct run, op);
    code_watch_close(&run->watch);
}

static void run_watch_closed(struct code_watch *watch)
{
    struct run *run = container_of(watch, struct run, watch);
    code_result_done(&run->result);
    free(run);
}
