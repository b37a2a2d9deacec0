/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c - see ask.h. */
#include "api/ask.h"

#include <errno.h>

#include "wire/reply.h"

static void ask_frame(struct api_op *op, const struct wire_frame *frame);
static void ask_failed(struct api_op *op, const struct error *err);
static void ask_release(struct api_op *op);

static const struct api_op_ops ask_ops = {
    .frame = ask_frame, .failed = ask_failed, .release = ask_release};

static bool ask_is_array(const struct ask *a)
{
    return a->p.array != NULL && a->p.array[0] == '\0';
}

void api_ask(struct api_call *call, const struct ask_params *p, struct buf *request)
{
    struct ask *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        buf_done(request);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    a->p = *p;
    a->op.not_found = p->not_found;
    a->w.out = &a->body;
    if (!ask_is_array(a))
        jsonw_object(&a->w);
    if (p->array != NULL && !ask_is_array(a))
        jsonw_key(&a->w, p->array);
    if (p->array != NULL)
        jsonw_array(&a->w);
    api_op_start(&a->op, call, &ask_ops, request, ASK_TIMEOUT_MS);
}

int api_ask_done(struct ask *a, const struct wire_frame *frame)
{
    if (!wire_reply_is(frame, WIRE_OK))
        return -EPROTO;
    jsonw_key_str(&a->w, "message", a->p.text);
    return 1;
}

static void ask_answer(struct ask *a)
{
    if (!ask_is_array(a))
        jsonw_object_end(&a->w);
    struct buf body = a->body;
    a->body = (struct buf){0};
    int status = a->p.status != 0 ? a->p.status : 200;
    api_reply(api_op_close(&a->op), status, &body);
}

static void ask_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct ask *a = container_of(op, struct ask, op);
    bool over = a->p.array != NULL && wire_reply_is(frame, WIRE_END);
    if (over)
        jsonw_array_end(&a->w);
    int rv = over ? 1 : a->p.take(a, frame);
    if (rv < 0)
        api_op_bad_frame(op);
    else if (a->body.len > ASK_MAX)
        api_fail_code(api_op_close(op), ERROR_BODY_TOO_LARGE, "The answer is too long");
    else if (rv > 0)
        ask_answer(a);
}

static void ask_failed(struct api_op *op, const struct error *err)
{
    struct ask *a = container_of(op, struct ask, op);
    if (a->p.absent == NULL || err->code != ERROR_FILE_NOT_FOUND) {
        api_fail(api_op_close(op), err);
        return;
    }
    a->p.absent(a);
    ask_answer(a);
}

static void ask_release(struct api_op *op)
{
    struct ask *a = container_of(op, struct ask, op);
    buf_done(&a->body);
    free(a);
}
