/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.h - one operation of the agent on behalf of one request.
 *
 * The happy path is: api_op_start, `frame` for each reply; on the last one the handler calls
 * api_op_close and answers. Possible failure modes are: the agent or the sandbox fails (the request
 * is answered with that error), the client goes away (the operation is cancelled), the agent sends
 * an error (it is the answer). `release` is the last call in every case and frees the memory.
 */
#ifndef CORRAL_API_OP_H
#define CORRAL_API_OP_H

#include "api/api.h"
#include "wire/call.h"

struct api_op;

struct api_op_ops {
    void (*ready)(struct api_op *op); /* further frames may be sent; may be NULL */
    void (*frame)(struct api_op *op, const struct wire_frame *frame);
    void (*drained)(struct api_op *op); /* more may be sent; may be NULL */
    /* Instead of the error as the answer; closes the operation. The request is still there. May be
     * NULL. */
    void (*failed)(struct api_op *op, const struct error *err);
    void (*release)(struct api_op *op);
};

/* First member of what a handler allocates for its operation. */
struct api_op {
    struct agent_call agent;
    struct api_call *call; /* NULL once the request has its answer or is gone */
    const struct api_op_ops *ops;
    /* What it is to the client that the agent does not find something; 0: a file. */
    enum error_code not_found;
};

/* Sends `request` (taken over) to the call's sandbox. When that fails, the request has its answer
 * and `release` was called. `timeout_ms` is a backstop behind the agent's own time-out; 0 for none.
 */
void api_op_start(struct api_op *op, struct api_call *call, const struct api_op_ops *ops,
                  struct buf *request, uint64_t timeout_ms);

/* Ends the operation and detaches it from its request; returns the call that awaits the answer, or
 * NULL when the client is gone. */
struct api_call *api_op_close(struct api_op *op);

/* Ends it because the frame is malformed or not allowed here. */
void api_op_bad_frame(struct api_op *op);

#endif
