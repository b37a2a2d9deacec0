/* SPDX-License-Identifier: Apache-2.0 */
#include "workflow/exec_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXEC_GRACE_MS   35000 /* the agent's own time-out, interrupt and restart come first */
#define EXEC_MIN_RUN_MS 1000  /* left for the run when the wait took all of the time */

/* In time order. */
static void on_sandbox(struct sandbox_wait *w, struct sandbox *sb, const struct error *err);
static void on_timer(uv_timer_t *timer);
static void on_frame(struct agent_call *agent, const struct wire_frame *frame);
static void on_failed(struct agent_call *agent, const struct error *err);
static void on_closed(struct agent_call *agent);
static void on_timer_closed(uv_handle_t *handle);
static void exec_finish(struct wf_exec *x);

static const struct agent_call_handler exec_handler = {
    .frame = on_frame,
    .failed = on_failed,
    .closed = on_closed,
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

struct wf_exec *wf_exec_start(struct sandbox *sb, const struct wf_exec_params *p,
                              void (*done)(void *ctx, struct wf_exec_result *r), void *ctx,
                              struct error *err)
{
    if (sb->phase >= SANDBOX_STOPPING) {
        (void)error_set(err, ERROR_INVALID_STATE, "The sandbox has ended (%s)",
                        sandbox_status_str(sb->status));
        return NULL;
    }
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
    /* The kernel of a kept run must be found again, too. */
    if (x->own_context && p->key != NULL)
        memcpy(x->context, x->key, sizeof(x->context));
    else if (x->own_context)
        id_new(x->context);
    if (wf_exec_encode(x, p, err) < 0) {
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
    x->wait.done = on_sandbox;
    list_init(&x->wait.node);
    (void)uv_timer_init(sb->target.loop, &x->timer);
    x->timer_open = true;
    if (sandbox_is_live(sb)) {
        (void)uv_timer_start(&x->timer, on_timer, 0, 0);
    } else {
        list_add_tail(&sb->run_waits, &x->wait.node);
        (void)uv_timer_start(&x->timer, on_timer, x->wait_ms > 0 ? x->wait_ms : x->timeout_ms, 0);
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
    wf_exec_put_context(&request, x);
    exec_call(x, EXEC_CONTEXT, &request, WF_EXEC_CONTEXT_MS);
}

static void exec_delete(struct wf_exec *x)
{
    struct buf request = {0};
    wf_exec_put(&request, WIRE_CONTEXT_DELETE, x->context);
    exec_call(x, EXEC_DELETING, &request, WF_EXEC_CONTEXT_MS);
}

static void exec_attach(struct wf_exec *x)
{
    struct buf request = {0};
    wf_exec_put(&request, WIRE_ATTACH, x->key);
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
    for (size_t i = 0; i < 4; i++)
        request.data[x->timeout_at + i] = (uint8_t)(left >> (8 * i));
    x->request = (struct buf){0};
    x->run_ns = uv_hrtime();
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

static void on_sandbox(struct sandbox_wait *w, struct sandbox *sb, const struct error *err)
{
    struct wf_exec *x = container_of(w, struct wf_exec, wait);
    if (err == NULL) {
        (void)uv_timer_start(&x->timer, on_timer, 0, 0);
        return;
    }
    exec_fail(x, err);
    exec_finish(x);
}

/* Either the sandbox runs and the turn that told so is over, or the wait has been too long. */
static void on_timer(uv_timer_t *timer)
{
    struct wf_exec *x = container_of(timer, struct wf_exec, timer);
    struct error err;
    if (sandbox_is_live(x->sb)) {
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

/* The run goes on since before this server: as if it had been started so long ago. */
static void exec_attached(struct wf_exec *x, const struct wire_frame *frame)
{
    struct cursor c = cursor_on(frame->payload, frame->len);
    uint64_t now = uv_hrtime(), ran = cursor_u64(&c);
    (void)cursor_u32(&c);
    if (frame->type != WIRE_KEPT || !cursor_end(&c)) {
        agent_call_bad_frame(&x->agent);
        return;
    }
    uint64_t total = exec_deadline(x, x->timeout_ms);
    ran = MIN(ran / 1000, MIN(total - 1, now / 1000000));
    x->run_ns = now - ran * 1000000;
    x->has_context = x->own_context;
    x->phase = EXEC_RUNNING;
    agent_call_set_deadline(&x->agent, total - ran);
}

/* Errors of the agent that are no failure. */
static bool exec_error_is_fine(struct wf_exec *x, const struct wire_frame *frame)
{
    struct cursor c = cursor_on(frame->payload, frame->len);
    uint32_t code = cursor_u32(&c);
    if (x->phase == EXEC_ATTACHING && code == WIRE_E_NOT_FOUND) { /* it has never begun */
        x->attach = false;
        return true;
    }
    if (x->phase == EXEC_CONTEXT && code == WIRE_E_EXISTS && x->key[0] != '\0') {
        x->has_context = true; /* the server before this one came as far as that */
        return true;
    }
    return x->phase == EXEC_CANCELLING;
}

static void exec_run_frame(struct wf_exec *x, const struct wire_frame *frame)
{
    if (frame->type == WIRE_KEPT && x->key[0] != '\0')
        return;
    int rv = wf_exec_frame(x, frame);
    if (rv < 0) {
        agent_call_bad_frame(&x->agent);
    } else if (rv > 0) {
        agent_call_close(&x->agent);
        exec_done(x);
    }
}

static void on_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    struct wf_exec *x = container_of(agent, struct wf_exec, agent);
    if (frame->type == WIRE_ERROR) {
        struct error err;
        agent_error_decode(frame, &err);
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

static void on_failed(struct agent_call *agent, const struct error *err)
{
    struct wf_exec *x = container_of(agent, struct wf_exec, agent);
    exec_fail(x, err);
    agent_call_close(agent);
}

static void on_closed(struct agent_call *agent)
{
    struct wf_exec *x = container_of(agent, struct wf_exec, agent);
    bool wanted = x->done != NULL;
    x->agent_open = false;
    if (x->phase >= EXEC_DELETING || !sandbox_is_live(x->sb))
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
        uv_close((uv_handle_t *)&x->timer, on_timer_closed);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct wf_exec *x = container_of((uv_timer_t *)handle, struct wf_exec, timer);
    exec_free(x);
}

/* In its place behind the request on the same connection: it cannot come before it. False when
 * nothing was sent yet. */
static bool exec_send_forget(struct wf_exec *x)
{
    cleanup_buf struct buf b = {0};
    wire_put_str(&b, x->key);
    if (b.failed || agent_call_send(&x->agent, WIRE_FORGET, b.data, b.len) < 0)
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
        x->has_context = true; /* or not: deleting it does no harm */
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
