/* SPDX-License-Identifier: Apache-2.0 */
/* op.c - see op.h. The call closes in its own time after the answer, so the operation outlives the
 * request: every way from here to there goes through op->call, which is NULL by then. */
#include "api/op.h"

#include "wire/request.h"

#include "wire/reply.h"

static void op_on_opened(struct agent_call *agent);
static void op_on_frame(struct agent_call *agent, const struct wire_frame *frame);
static void op_on_drained(struct agent_call *agent);
static void op_on_failed(struct agent_call *agent, const struct error *err);
static void op_on_closed(struct agent_call *agent);
static void op_on_client_gone(struct api_call *call);

static const struct agent_call_handler api_op_handler = {
    .opened = op_on_opened,
    .frame = op_on_frame,
    .drained = op_on_drained,
    .failed = op_on_failed,
    .closed = op_on_closed,
};

void api_op_start(struct api_op *op, struct api_call *call, const struct api_op_ops *ops,
                  struct buf *request, uint64_t timeout_ms)
{
    if (call->user != NULL)
        wire_request_as(request, call->user);
    op->ops = ops;
    op->call = call;
    int rv = agent_call_start(&op->agent, &call->sandbox->target, &api_op_handler, request,
                              timeout_ms);
    if (rv < 0) {
        struct error err;
        error_set_errno(&err, ERROR_INTERNAL, rv, "The operation could not be started");
        ops->release(op);
        api_fail(call, &err);
        return;
    }
    call->state = op;
    call->cancel = op_on_client_gone;
}

static void op_fail(struct api_op *op, const struct error *err)
{
    if (op->call != NULL && op->ops->failed != NULL) {
        op->ops->failed(op, err);
        return;
    }
    struct api_call *call = api_op_close(op);
    if (call != NULL)
        api_fail(call, err);
}

/* Ends it with the error that the agent sent. */
static void op_error(struct api_op *op, const struct wire_frame *frame)
{
    struct error err;
    wire_reply_error(frame, &err);
    /* Published clients send a request again after 502, and code must not run twice. */
    if (err.code == ERROR_BAD_GATEWAY)
        err.code = ERROR_SANDBOX_FAILED;
    if (err.code == ERROR_FILE_NOT_FOUND && op->not_found != ERROR_NONE)
        err.code = op->not_found;
    op_fail(op, &err);
}

static void op_on_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    struct api_op *op = container_of(agent, struct api_op, agent);
    if (frame->type == WIRE_ERROR)
        op_error(op, frame);
    else
        op->ops->frame(op, frame);
}

static void op_on_opened(struct agent_call *agent)
{
    struct api_op *op = container_of(agent, struct api_op, agent);
    if (op->ops->ready != NULL)
        op->ops->ready(op);
}

static void op_on_drained(struct agent_call *agent)
{
    struct api_op *op = container_of(agent, struct api_op, agent);
    if (op->ops->drained != NULL)
        op->ops->drained(op);
}

static void op_on_failed(struct agent_call *agent, const struct error *err)
{
    struct api_op *op = container_of(agent, struct api_op, agent);
    if (op->call != NULL)
        sandbox_suspect(op->call->sandbox);
    op_fail(op, err);
}

static void op_on_client_gone(struct api_call *call)
{
    (void)api_op_close(call->state);
}

static void op_on_closed(struct agent_call *agent)
{
    struct api_op *op = container_of(agent, struct api_op, agent);
    op->ops->release(op);
}

struct api_call *api_op_close(struct api_op *op)
{
    struct api_call *call = op->call;
    op->call = NULL;
    if (call != NULL) {
        call->cancel = NULL;
        call->state = NULL;
    }
    agent_call_close(&op->agent);
    return call;
}

void api_op_bad_frame(struct api_op *op)
{
    agent_call_bad_frame(&op->agent);
}
