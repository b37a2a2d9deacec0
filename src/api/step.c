/* SPDX-License-Identifier: Apache-2.0 */
/* step.c - see step.h. */
#include "api/step.h"

#include <stdlib.h>

#define STEP_TIMEOUT_MS 60000

struct step {
    struct api_op op;
    void (*then)(struct api_call *call, const struct wire_frame *frame, const struct error *err);
};

static void step_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct step *s = container_of(op, struct step, op);
    s->then(api_op_close(op), frame, NULL);
}

static void step_error(struct api_op *op, const struct error *err)
{
    struct step *s = container_of(op, struct step, op);
    s->then(api_op_close(op), NULL, err);
}

static void step_release(struct api_op *op)
{
    free(container_of(op, struct step, op));
}

static const struct api_op_ops step_ops = {
    .frame = step_frame, .failed = step_error, .release = step_release};

void api_step(struct api_call *call, struct buf *request, enum error_code not_found,
              void (*then)(struct api_call *call, const struct wire_frame *frame,
                           const struct error *err))
{
    struct step *s = calloc(1, sizeof(*s));
    bool fits = request->len <= WIRE_MAX_REQUEST;
    if (s == NULL || !fits) {
        free(s);
        buf_done(request);
        api_fail_code(call, fits ? ERROR_INTERNAL : ERROR_BODY_TOO_LARGE,
                      fits ? "Out of memory" : "The request is too long");
        return;
    }
    s->then = then;
    s->op.not_found = not_found;
    api_op_start(&s->op, call, &step_ops, request, STEP_TIMEOUT_MS);
}

void api_step_failed(struct api_call *call, const struct error *err)
{
    if (err != NULL)
        api_fail(call, err);
    else
        api_fail_code(call, ERROR_INTERNAL, "The sandbox's agent sent a wrong reply");
}
