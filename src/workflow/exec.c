/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - see exec.h for the phases.
 *
 * A run makes up to three calls of the agent one after the other, all with the one call object:
 * attach or create the kernel, run, delete the kernel. exec_on_closed picks the next, since the
 * object is free only then. `done` may have been called long before: a cancelled run still deletes
 * its kernel, and the object frees itself after that.
 *
 * The caller's strings are gone when the sandbox runs at last, so the request is encoded at the
 * start, and exec_run only puts in how much of the time is left.
 */
#include "workflow/exec.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "sandbox/oom.h"
#include "sandbox/pause.h"
#include "sandbox/table.h"
#include "wire/reply.h"
#include "wire/request.h"

#define EXEC_GRACE_MS   35000 /* the agent's own time-out, interrupt and restart come first */
#define EXEC_MIN_RUN_MS 1000  /* left for the run when the wait took all of the time */
#define EXEC_CONTEXT_S  86400 /* lifetime of a kernel that nobody deletes */
#define EXEC_KEEP       16    /* times the text that is kept: a result is one form of many */

enum exec_phase {
    EXEC_WAITING,
    EXEC_ATTACHING,
    EXEC_CONTEXT,
    EXEC_RUNNING,
    EXEC_CANCELLING,
    EXEC_DELETING,
    EXEC_CLOSING
};

struct wf_exec {
    enum exec_phase phase;
    struct sandbox *sb; /* not touched in CLOSING */
    struct sandbox_wait wait;
    uv_timer_t timer; /* of WAITING; later the wake-up that starts or ends a phase */
    bool timer_open;
    struct agent_call agent;
    bool agent_open;
    bool code, own_context, has_context;
    bool attach;                    /* an earlier server may have started it */
    char key[WIRE_MAX_KEY + 1];     /* "": the agent does not keep the run */
    char context[WIRE_MAX_KEY + 1]; /* id of the kernel of its own */
    char *language;                 /* owned; of the context */
    struct buf request;             /* the run's frames; their time-out is set when they leave */
    unsigned int timeout_ms;
    unsigned int wait_ms; /* 0: part of timeout_ms */
    uint64_t started_ns, run_ns;
    struct sandbox_oom oom; /* before the run; not known of one that is attached to */
    size_t limit;
    struct wf_exec_result r;
    void (*done)(void *ctx, struct wf_exec_result *r); /* NULL once called or cancelled */
    void *ctx;
};

/* In time order. */
static void exec_on_sandbox(struct sandbox_wait *w, struct sandbox *sb, const struct error *err);
static void exec_on_timer(uv_timer_t *timer);
static void exec_on_frame(struct agent_call *agent, const struct wire_frame *frame);
static void exec_on_failed(struct agent_call *agent, const struct error *err);
static void exec_on_closed(struct agent_call *agent);
static void exec_on_timer_closed(uv_handle_t *handle);
static void exec_finish(struct wf_exec *x);

static const struct agent_call_handler exec_handler = {
    .frame = exec_on_frame,
    .failed = exec_on_failed,
    .closed = exec_on_closed,
};

static void exec_free(struct wf_exec *x)
{
    buf_done(&x->request);
    buf_done(&x->r.out);
    buf_done(&x->r.err_out);
    buf_done(&x->r.result);
    buf_done(&x->r.name);
    buf_done(&x->r.value);
    buf_done(&x->r.traceback);
    free(x->language);
    free(x);
}

/* The whole request of the run. Its time-out is the full one until exec_run knows what is left. */
static int exec_encode(struct wf_exec *x, const struct wf_exec_params *p, struct error *err)
{
    const struct wire_code_params code = {.context = x->context,
                                          .language = p->language,
                                          .code = p->code,
                                          .env = p->env,
                                          .timeout_ms = p->timeout_ms};
    const struct wire_exec_params command = {.command = p->command,
                                             .args = p->args,
                                             .cwd = p->cwd,
                                             .env = p->env,
                                             .timeout_ms = p->timeout_ms};
    size_t max = x->code ? WIRE_MAX_PAYLOAD : WIRE_MAX_REQUEST;
    x->language = strdup(p->language != NULL ? p->language : "");
    if (x->key[0] != '\0')
        wire_request_keep(&x->request, x->key, p->limit * EXEC_KEEP);
    if (x->code)
        wire_request_code(&x->request, &code);
    else
        wire_request_exec(&x->request, &command);
    if (x->request.failed || x->language == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    if (x->request.len > max)
        return error_set(err, ERROR_BODY_TOO_LARGE, "The code or command exceeds %zu bytes", max);
    return 0;
}

struct wf_exec *wf_exec_start(struct sandbox *sb, const struct wf_exec_params *p,
                              void (*done)(void *ctx, struct wf_exec_result *r), void *ctx,
                              struct error *err)
{
    if (sb->phase >= SANDBOX_STOPPING) {
        (void)error_set(err, ERROR_INVALID_STATE, "The sandbox has ended (%s)",
                        sandbox_status_str(sb->status));
        return NULL;
    }
    if (sandbox_is_paused(sb) && sandbox_table_wake(sb, NULL, err) < 0)
        return NULL;
    struct wf_exec *x = calloc(1, sizeof(*x));
    if (x == NULL) {
        (void)error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    x->code = p->code != NULL;
    x->own_context = x->code && p->own_context;
    x->attach = p->key != NULL && p->attach;
    if (p->key != NULL)
        (void)snprintf(x->key, sizeof(x->key), "%s", p->key);
    /* A later server must find the kernel of a kept run, too. */
    if (x->own_context && p->key != NULL)
        memcpy(x->context, x->key, sizeof(x->context));
    else if (x->own_context)
        id_new(x->context);
    if (exec_encode(x, p, err) < 0) {
        exec_free(x);
        return NULL;
    }
    x->sb = sb;
    x->timeout_ms = p->timeout_ms;
    x->wait_ms = p->wait_ms;
    x->limit = p->limit;
    x->done = done;
    x->ctx = ctx;
    x->started_ns = uv_hrtime();
    x->wait.done = exec_on_sandbox;
    list_init(&x->wait.node);
    (void)uv_timer_init(sb->target.loop, &x->timer);
    x->timer_open = true;
    if (sandbox_is_running(sb)) {
        (void)uv_timer_start(&x->timer, exec_on_timer, 0, 0);
    } else {
        list_add_tail(&sb->run_waits, &x->wait.node);
        (void)uv_timer_start(&x->timer, exec_on_timer, x->wait_ms > 0 ? x->wait_ms : x->timeout_ms,
                             0);
    }
    return x;
}

static void exec_done(struct wf_exec *x)
{
    void (*done)(void *ctx, struct wf_exec_result *r) = x->done;
    x->done = NULL;
    if (done != NULL)
        done(x->ctx, &x->r);
}

static void exec_fail(struct wf_exec *x, const struct error *err)
{
    x->r.failed = true;
    x->r.err = *err;
    /* Published clients send a request again after 502, and code must not run twice. */
    if (x->r.err.code == ERROR_BAD_GATEWAY)
        x->r.err.code = ERROR_SANDBOX_FAILED;
    exec_done(x);
}

static void exec_call(struct wf_exec *x, enum exec_phase phase, struct buf *request,
                      uint64_t deadline_ms)
{
    x->phase = phase;
    int rv = agent_call_start(&x->agent, &x->sb->target, &exec_handler, request, deadline_ms);
    x->agent_open = rv == 0;
    if (rv < 0) {
        struct error err;
        error_set_errno(&err, ERROR_INTERNAL, rv, "The operation could not be started");
        exec_fail(x, &err);
        exec_finish(x);
    }
}

static void exec_context(struct wf_exec *x)
{
    struct buf request = {0};
    const struct wire_context_params params = {
        .id = x->context, .language = x->language, .lifetime_s = EXEC_CONTEXT_S};
    wire_request_context_create(&request, &params);
    exec_call(x, EXEC_CONTEXT, &request, WF_EXEC_CONTEXT_MS);
}

static void exec_delete(struct wf_exec *x)
{
    struct buf request = {0};
    wire_request_context_delete(&request, x->context);
    exec_call(x, EXEC_DELETING, &request, WF_EXEC_CONTEXT_MS);
}

static void exec_attach(struct wf_exec *x)
{
    struct buf request = {0};
    wire_request_attach(&request, x->key);
    exec_call(x, EXEC_ATTACHING, &request, WF_EXEC_ANSWER_MS);
}

/* The run itself has at most `left_ms`, by its own time-out in the sandbox. */
static uint64_t exec_deadline(const struct wf_exec *x, uint32_t left_ms)
{
    return (uint64_t)left_ms * (x->code ? 2 : 1) + EXEC_GRACE_MS;
}

static void exec_run(struct wf_exec *x)
{
    struct buf request = x->request;
    uint64_t waited = x->wait_ms > 0 ? 0 : (uv_hrtime() - x->started_ns) / 1000000;
    uint32_t left = waited + EXEC_MIN_RUN_MS < x->timeout_ms ? x->timeout_ms - (uint32_t)waited
                                                             : EXEC_MIN_RUN_MS;
    left = MIN(left, x->timeout_ms);
    wire_request_set_timeout(&request, left);
    x->request = (struct buf){0};
    x->run_ns = uv_hrtime();
    sandbox_oom_mark(&x->oom, x->sb);
    exec_call(x, EXEC_RUNNING, &request, exec_deadline(x, left));
}

static void exec_begin(struct wf_exec *x)
{
    (void)uv_timer_stop(&x->timer);
    if (x->attach)
        exec_attach(x);
    else if (x->own_context)
        exec_context(x);
    else
        exec_run(x);
}

static void exec_on_sandbox(struct sandbox_wait *w, struct sandbox *sb, const struct error *err)
{
    struct wf_exec *x = container_of(w, struct wf_exec, wait);
    if (err == NULL) {
        (void)uv_timer_start(&x->timer, exec_on_timer, 0, 0);
        return;
    }
    exec_fail(x, err);
    exec_finish(x);
}

/* Either the sandbox runs and its wait was called in an earlier turn of the loop, or the wait has
 * taken too long. */
static void exec_on_timer(uv_timer_t *timer)
{
    struct wf_exec *x = container_of(timer, struct wf_exec, timer);
    struct error err;
    if (sandbox_is_running(x->sb)) {
        exec_begin(x);
        return;
    }
    list_del(&x->wait.node);
    if (x->sb->phase >= SANDBOX_STOPPING)
        error_set(&err, ERROR_INVALID_STATE, "The sandbox has ended (%s)",
                  sandbox_status_str(x->sb->status));
    else
        error_set(&err, ERROR_TIMEOUT, "The sandbox was not ready within %u ms", x->timeout_ms);
    exec_fail(x, &err);
    exec_finish(x);
}

/* The run began under an earlier server: counts its time from then. */
static void exec_attached(struct wf_exec *x, const struct wire_frame *frame)
{
    struct wire_kept kept;
    if (!wire_reply_kept(frame, &kept)) {
        agent_call_bad_frame(&x->agent);
        return;
    }
    uint64_t now = uv_hrtime(), total = exec_deadline(x, x->timeout_ms);
    uint64_t ran = MIN(kept.ran_us / 1000, MIN(total - 1, now / 1000000));
    x->run_ns = now - ran * 1000000;
    x->has_context = x->own_context;
    x->phase = EXEC_RUNNING;
    agent_call_set_deadline(&x->agent, total - ran);
}

/* Whether this error of the agent is no failure in this phase. */
static bool exec_error_is_fine(struct wf_exec *x, const struct wire_frame *frame)
{
    struct wire_failure failure;
    bool known = wire_reply_failure(frame, &failure);
    if (known && x->phase == EXEC_ATTACHING &&
        failure.code == WIRE_E_NOT_FOUND) { /* it never began */
        x->attach = false;
        return true;
    }
    if (known && x->phase == EXEC_CONTEXT && failure.code == WIRE_E_EXISTS && x->key[0] != '\0') {
        x->has_context = true; /* an earlier server created it */
        return true;
    }
    return x->phase == EXEC_CANCELLING;
}

static void exec_keep(struct wf_exec *x, struct buf *to, const void *data, size_t len)
{
    size_t take = MIN(len, x->limit - MIN(x->limit, to->len));
    (void)buf_append(to, data, take);
}

static void exec_timed_out(struct wf_exec *x)
{
    error_set(&x->r.err, ERROR_TIMEOUT, "The run took longer than its time-out");
    x->r.failed = true;
}

static bool exec_code_done(struct wf_exec *x, const struct wire_frame *frame)
{
    struct wire_code_done done;
    if (!wire_reply_code_done(frame, &done))
        return false;
    if (done.status == WIRE_CODE_TIMED_OUT || done.status == WIRE_CODE_RESTARTED)
        exec_timed_out(x);
    if (done.status == WIRE_CODE_KERNEL_DIED) {
        buf_reset(&x->r.name);
        char text[WIRE_DEATH_TEXT_MAX];
        sandbox_oom_judge(&x->oom, x->sb, &done.how);
        wire_reply_death(&done, text);
        (void)buf_append_str(&x->r.name, "KernelDied");
        buf_reset(&x->r.value);
        (void)buf_append_str(&x->r.value, text);
    }
    x->r.exit_code = done.status == WIRE_CODE_OK ? 0 : 1;
    x->r.duration_ms = (int64_t)((uv_hrtime() - x->run_ns) / 1000000);
    return true;
}

static bool exec_command_done(struct wf_exec *x, const struct wire_frame *frame)
{
    struct wire_exit e;
    if (!wire_reply_exit(frame, &e))
        return false;
    if (e.timed_out)
        exec_timed_out(x);
    x->r.exit_code = e.code;
    x->r.duration_ms = (int64_t)(e.duration_us / 1000);
    return true;
}

/* The value's text. Its bytes come from the sandbox: what is not a JSON object has none. */
static void exec_code_value(struct wf_exec *x, struct span bundle)
{
    const char *text = NULL;
    cleanup_json json *j = json_parse_object(bundle.data, bundle.len, NULL);
    if (j == NULL || json_get_str(j, "text/plain", NULL, &text, NULL) < 0 || text == NULL)
        return;
    buf_reset(&x->r.result);
    exec_keep(x, &x->r.result, text, strlen(text));
    x->r.has_result = true;
}

static void exec_code_raised(struct wf_exec *x, const struct wire_code_error *raised)
{
    buf_reset(&x->r.name);
    buf_reset(&x->r.value);
    buf_reset(&x->r.traceback);
    exec_keep(x, &x->r.name, raised->name.data, raised->name.len);
    exec_keep(x, &x->r.value, raised->value.data, raised->value.len);
    exec_keep(x, &x->r.traceback, raised->traceback.data, raised->traceback.len);
}

/* Takes one frame of a command in. 1: it has ended, 0: more follows, -1: it cannot be here. */
static int exec_command_frame(struct wf_exec *x, const struct wire_frame *frame)
{
    switch (frame->type) {
    case WIRE_STARTED:
        return 0;
    case WIRE_STDOUT:
        exec_keep(x, &x->r.out, frame->payload, frame->len);
        return 0;
    case WIRE_STDERR:
        exec_keep(x, &x->r.err_out, frame->payload, frame->len);
        return 0;
    default:
        return exec_command_done(x, frame) ? 1 : -1;
    }
}

/* The same for code. What is only displayed is no part of the result. */
static int exec_code_frame(struct wf_exec *x, const struct wire_frame *frame)
{
    struct wire_code_stream stream;
    struct wire_code_data data;
    struct wire_code_error raised;
    uint32_t count;
    if (wire_reply_code_begun(frame, &count))
        return 0;
    if (wire_reply_code_stream(frame, &stream)) {
        exec_keep(x, stream.is_stderr ? &x->r.err_out : &x->r.out, stream.text.data,
                  stream.text.len);
        return 0;
    }
    if (wire_reply_code_data(frame, &data)) {
        if (frame->type == WIRE_CODE_RESULT)
            exec_code_value(x, data.bundle);
        return 0;
    }
    if (wire_reply_code_error(frame, &raised)) {
        exec_code_raised(x, &raised);
        return 0;
    }
    return exec_code_done(x, frame) ? 1 : -1;
}

static void exec_run_frame(struct wf_exec *x, const struct wire_frame *frame)
{
    struct wire_kept kept;
    if (x->key[0] != '\0' && wire_reply_kept(frame, &kept))
        return;
    int rv = x->code ? exec_code_frame(x, frame) : exec_command_frame(x, frame);
    if (rv < 0) {
        agent_call_bad_frame(&x->agent);
    } else if (rv > 0) {
        agent_call_close(&x->agent);
        exec_done(x);
    }
}

static void exec_on_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    struct wf_exec *x = container_of(agent, struct wf_exec, agent);
    if (frame->type == WIRE_ERROR) {
        struct error err;
        wire_reply_error(frame, &err);
        if (!exec_error_is_fine(x, frame))
            exec_fail(x, &err);
        agent_call_close(agent);
    } else if (x->phase == EXEC_RUNNING) {
        exec_run_frame(x, frame);
    } else if (x->phase == EXEC_ATTACHING) {
        exec_attached(x, frame);
    } else if (x->phase != EXEC_CANCELLING || frame->type == WIRE_OK) {
        if (x->phase == EXEC_CONTEXT && frame->type == WIRE_CONTEXT)
            x->has_context = true;
        agent_call_close(agent);
    }
}

static void exec_on_failed(struct agent_call *agent, const struct error *err)
{
    struct wf_exec *x = container_of(agent, struct wf_exec, agent);
    exec_fail(x, err);
    agent_call_close(agent);
}

static void exec_on_closed(struct agent_call *agent)
{
    struct wf_exec *x = container_of(agent, struct wf_exec, agent);
    bool wanted = x->done != NULL;
    x->agent_open = false;
    if (x->phase >= EXEC_DELETING || !sandbox_is_running(x->sb))
        exec_finish(x);
    else if (x->phase == EXEC_ATTACHING && wanted && !x->attach)
        exec_begin(x);
    else if (x->phase == EXEC_CONTEXT && wanted && x->has_context)
        exec_run(x);
    else if (x->has_context)
        exec_delete(x);
    else
        exec_finish(x);
}

/* Nothing more will be started: closes what is open and frees the rest. */
static void exec_finish(struct wf_exec *x)
{
    if (x->done != NULL) { /* the sandbox ended between two calls */
        struct error err;
        error_set(&err, ERROR_INVALID_STATE, "The sandbox has ended");
        exec_fail(x, &err);
    }
    x->phase = EXEC_CLOSING;
    list_del(&x->wait.node);
    if (x->agent_open)
        agent_call_close(&x->agent);
    else if (x->timer_open && !uv_is_closing((uv_handle_t *)&x->timer))
        uv_close((uv_handle_t *)&x->timer, exec_on_timer_closed);
}

static void exec_on_timer_closed(uv_handle_t *handle)
{
    struct wf_exec *x = container_of((uv_timer_t *)handle, struct wf_exec, timer);
    exec_free(x);
}

/* Sends FORGET on the run's own connection, so that it cannot overtake the request. False when
 * nothing was sent yet. */
static bool exec_send_forget(struct wf_exec *x)
{
    struct buf forget = {0};
    wire_request_forget(&forget, x->key);
    if (agent_call_send_buf(&x->agent, &forget) < 0)
        return false;
    x->phase = EXEC_CANCELLING;
    agent_call_set_deadline(&x->agent, WF_EXEC_ANSWER_MS);
    return true;
}

void wf_exec_cancel(struct wf_exec *x)
{
    bool begun = x->phase == EXEC_RUNNING || x->phase == EXEC_ATTACHING;
    x->done = NULL;
    if (x->attach && x->own_context)
        x->has_context = true; /* perhaps; deleting one that is not there does no harm */
    if (x->agent_open && begun && x->key[0] != '\0' && exec_send_forget(x))
        return;
    if (x->attach)
        wf_exec_forget(x->sb, x->key);
    if (x->agent_open)
        agent_call_close(&x->agent);
    else
        exec_finish(x);
}

void wf_exec_leave(struct wf_exec *x)
{
    x->done = NULL;
    x->phase = EXEC_CLOSING;
    if (x->agent_open)
        agent_call_close(&x->agent);
    else
        exec_finish(x);
}

/* A call of its own, whatever comes of it: an agent that does not hear it drops the record when it
 * needs the room. */
static void forget_on_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    agent_call_close(agent);
}

static void forget_on_failed(struct agent_call *agent, const struct error *err)
{
    agent_call_close(agent);
}

static void forget_on_closed(struct agent_call *agent)
{
    free(agent);
}

static const struct agent_call_handler forget_handler = {
    .frame = forget_on_frame,
    .failed = forget_on_failed,
    .closed = forget_on_closed,
};

void wf_exec_forget(struct sandbox *sb, const char *key)
{
    struct buf request = {0};
    if (!sandbox_is_running(sb))
        return;
    struct agent_call *agent = malloc(sizeof(*agent));
    if (agent == NULL)
        return;
    wire_request_forget(&request, key);
    if (agent_call_start(agent, &sb->target, &forget_handler, &request, WF_EXEC_ANSWER_MS) < 0)
        free(agent);
}
