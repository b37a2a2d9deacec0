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
#include "api/code.h"

#include <inttypes.h>
#include <string.h>

#include "api/code_watch.h"
#include "api/feed.h"
#include "api/op.h"
#include "api/ties.h"
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
    struct code_run outcome;
    struct sandbox_oom oom;
    void (*reply)(struct api_call *call, struct code_run *run);
};

static void run_frame(struct api_op *op, const struct wire_frame *frame);
static void run_release(struct api_op *op);
static void run_silent(struct code_watch *watch);
static void run_watch_closed(struct code_watch *watch);

static const struct api_op_ops run_ops = {.frame = run_frame, .release = run_release};

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

int code_run_parse(struct api_call *call, int64_t default_s, struct code_run_args *a,
                   struct error *err)
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
        rv = api_environment(call, call->body, "environment", &a->env, err);
    if (rv == 0)
        rv = parse_flags(call, err);
    if (rv == 0 && strlen(a->language) > CODE_MAX_FIELD)
        rv = error_set(err, ERROR_UNSUPPORTED_LANGUAGE, "Unknown language");
    if (rv == 0 && strlen(a->context) > CODE_MAX_CONTEXT)
        rv = error_set(err, ERROR_CONTEXT_NOT_FOUND, "Context not found");
    if (rv == 0 && a->timeout_s == 0)
        a->timeout_s = MIN(max, default_s);
    return rv;
}

/* The CODE_RUN; ERROR_BODY_TOO_LARGE. */
static int code_encode(struct buf *request, const struct code_run_args *a, struct error *err)
{
    const struct wire_code_params params = {.context = a->context,
                                            .language = a->language,
                                            .code = a->code,
                                            .env = a->env,
                                            .timeout_ms = (uint32_t)a->timeout_s * 1000};
    wire_request_code(request, &params);
    if (request->len <= WIRE_MAX_PAYLOAD)
        return 0;
    return error_set(err, ERROR_BODY_TOO_LARGE, "The code exceeds %u bytes", WIRE_MAX_PAYLOAD);
}

/* A backstop behind the bridge's own time-out, which counts from when the code starts. */
static uint64_t code_deadline_ms(int64_t timeout_s)
{
    return (uint64_t)timeout_s * 2000 + CODE_GRACE_MS;
}

/* Takes the request over. */
static void code_start(struct api_call *call, const struct code_run_args *a, struct buf *request,
                       const struct code_speech *speech)
{
    struct run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        buf_done(request);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    struct code_run *outcome = &run->outcome;
    run->reply = speech->reply;
    outcome->timeout_s = a->timeout_s;
    memcpy(outcome->execution_id, "exec_", 5);
    id_token(outcome->execution_id + 5, 12);
    code_result_init(&outcome->result, (size_t)call->api->config->max_output);
    outcome->result.all = speech->all_results;
    sandbox_oom_mark(&run->oom, call->sandbox);
    code_watch_start(&run->watch, call->sandbox, (uint64_t)a->timeout_s * 1000 + CODE_SLACK_MS,
                     run_silent, run_watch_closed);
    api_op_start(&run->op, call, &run_ops, request, code_deadline_ms(a->timeout_s));
}

void code_run(struct api_call *call, const struct code_speech *speech, const char *context)
{
    struct error err;
    struct code_run_args args = {0};
    struct buf request = {0};
    int rv = code_run_parse(call, speech->default_s, &args, &err);
    if (context != NULL)
        args.context = context;
    if (rv == 0)
        rv = code_encode(&request, &args, &err);
    free(args.env);
    if (rv < 0) {
        buf_done(&request);
        api_fail(call, &err);
        return;
    }
    sandbox_expect_code(call->sandbox);
    if (!api_query_is_true(call, "stream")) {
        code_start(call, &args, &request, speech);
        return;
    }
    const struct feed_params feed = {.kind = EVENTS_OF_CODE,
                                     .writer = speech->writer,
                                     .timeout_ms = code_deadline_ms(args.timeout_s),
                                     .lines = speech->lines};
    api_feed_start(call, &feed, &request);
}

static void code_reply(struct api_call *call, struct code_run *run);

void api_code_run(struct api_call *call)
{
    const struct code_speech speech = {
        .default_s = CODE_TIMEOUT_S, .writer = &event_sse_code, .reply = code_reply};
    code_run(call, &speech, NULL);
}

/* Nobody in the sandbox has said anything since the time-out passed. */
static void run_silent(struct code_watch *watch)
{
    struct run *run = container_of(watch, struct run, watch);
    struct api_call *call = api_op_close(&run->op);
    if (call == NULL)
        return;
    sandbox_suspect(call->sandbox);
    (void)http_add_header(call->req, "X-Corral-Reason", sandbox_trouble(call->sandbox));
    run->outcome.end = CODE_SILENT;
    run->reply(call, &run->outcome);
}

int code_timeout_error(const struct code_run *run, struct error *err)
{
    static const char *const states[] = {
        [CODE_TIMED_OUT] = "it was interrupted and its state is kept",
        [CODE_RESTARTED] = "the kernel ignored the interrupt and was restarted",
        [CODE_SILENT] = "the sandbox does not answer",
    };
    if (run->end == CODE_ENDED)
        return 0;
    return error_set(err, ERROR_TIMEOUT, "Code execution timed out after %" PRId64 " s; %s",
                     run->timeout_s, states[run->end]);
}

static void code_reply(struct api_call *call, struct code_run *run)
{
    struct error err;
    struct buf body = {0};
    bool timed_out = code_timeout_error(run, &err) < 0;
    code_result_print(&run->result, &body, run->execution_id);
    if (!timed_out) {
        api_reply(call, 200, &body);
        return;
    }
    api_fail_details(call, &err, buf_cstr(&body));
    buf_done(&body);
}

static void run_finished(struct run *run, const struct wire_frame *frame)
{
    struct wire_code_done done;
    if (!wire_reply_code_done(frame, &done)) {
        api_op_bad_frame(&run->op);
        return;
    }
    struct api_call *call = api_op_close(&run->op);
    if (call == NULL)
        return;
    if (done.status == WIRE_CODE_KERNEL_DIED) {
        char text[WIRE_DEATH_TEXT_MAX];
        sandbox_oom_judge(&run->oom, call->sandbox, &done.how);
        wire_reply_death(&done, text);
        code_result_set_error(&run->outcome.result, "KernelDied", text);
    }
    if (done.status == WIRE_CODE_TIMED_OUT)
        run->outcome.end = CODE_TIMED_OUT;
    else if (done.status == WIRE_CODE_RESTARTED)
        run->outcome.end = CODE_RESTARTED;
    run->reply(call, &run->outcome);
}

static void run_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct run *run = container_of(op, struct run, op);
    sandbox_heard_bridge(run->watch.sandbox);
    if (frame->type == WIRE_CODE_DONE)
        run_finished(run, frame);
    else if (code_result_add(&run->outcome.result, frame) < 0)
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
    code_result_done(&run->outcome.result);
    free(run);
}
