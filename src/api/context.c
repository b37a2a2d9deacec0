/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.c - code/contexts: a kernel of its own for a client.
 *
 * Contexts are the bridge's, inside the sandbox, and the server keeps nothing of them: they end
 * with the sandbox, survive a restart of the server, and an id means nothing outside its sandbox.
 * That is why an id is not checked here beyond its length.
 */
#include <string.h>

#include "api/op.h"
#include "wire/reply.h"
#include "wire/request.h"

#define CONTEXT_LIFETIME_S 3600
#define CONTEXT_TIMEOUT_MS 60000 /* a create starts a kernel */
#define CONTEXT_MAX_ID     128

struct context_op {
    struct api_op op;
    char id[CONTEXT_MAX_ID + 1];
    int status;   /* HTTP status of the answer */
    bool details; /* with `status` and `last_used` */
};

static void context_frame(struct api_op *op, const struct wire_frame *frame);
static void deleted_frame(struct api_op *op, const struct wire_frame *frame);
static void context_release(struct api_op *op);

static const struct api_op_ops context_ops = {.frame = context_frame, .release = context_release};
static const struct api_op_ops delete_ops = {.frame = deleted_frame, .release = context_release};

static void context_start(struct api_call *call, const char *id, const struct api_op_ops *ops,
                          int status, bool details, struct buf *request)
{
    struct context_op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        buf_done(request);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    strcpy(op->id, id);
    op->status = status;
    op->details = details;
    api_op_start(&op->op, call, ops, request, CONTEXT_TIMEOUT_MS);
}

void api_context_create(struct api_call *call)
{
    struct error err;
    const char *language = NULL, *cwd = NULL;
    struct buf request = {0};
    char id[4 + ID_SIZE] = "ctx_";
    int rv = json_get_str(call->body, "language", "python", &language, &err);
    if (rv == 0)
        rv = json_get_str(call->body, "cwd", "/home/user", &cwd, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    id_new(id + 4);
    wire_request_context_create(
        &request,
        &(struct wire_context_params){
            .id = id, .language = language, .cwd = cwd, .lifetime_s = CONTEXT_LIFETIME_S});
    context_start(call, id, &context_ops, 201, false, &request);
}

static void context_by_id(struct api_call *call, void (*encode)(struct buf *b, const char *id),
                          const struct api_op_ops *ops)
{
    struct buf request = {0};
    const char *id = call->params[1];
    if (strlen(id) > CONTEXT_MAX_ID) {
        api_fail_code(call, ERROR_CONTEXT_NOT_FOUND, "Context not found");
        return;
    }
    encode(&request, id);
    context_start(call, id, ops, 200, true, &request);
}

void api_context_get(struct api_call *call)
{
    context_by_id(call, wire_request_context_get, &context_ops);
}

void api_context_delete(struct api_call *call)
{
    context_by_id(call, wire_request_context_delete, &delete_ops);
}

static void write_span(struct jsonw *w, const char *key, struct span s)
{
    jsonw_key(w, key);
    jsonw_strn(w, s.data, s.len);
}

static void context_frame(struct api_op *base, const struct wire_frame *frame)
{
    struct context_op *op = container_of(base, struct context_op, op);
    struct wire_context context;
    if (!wire_reply_context(frame, &context)) {
        api_op_bad_frame(base);
        return;
    }
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "context_id", op->id);
    write_span(&w, "language", context.language);
    write_span(&w, "cwd", context.cwd);
    if (op->details)
        write_span(&w, "status", context.status);
    jsonw_key_time(&w, "created_at", context.created_ms);
    jsonw_key_time(&w, "expires_at", context.expires_ms);
    if (op->details)
        jsonw_key_time(&w, "last_used", context.last_used_ms);
    jsonw_object_end(&w);
    struct api_call *call = api_op_close(base);
    if (call != NULL)
        api_reply(call, op->status, &body);
    else
        buf_done(&body);
}

static void deleted_frame(struct api_op *base, const struct wire_frame *frame)
{
    struct context_op *op = container_of(base, struct context_op, op);
    if (!wire_reply_is(frame, WIRE_OK)) {
        api_op_bad_frame(base);
        return;
    }
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Context deleted successfully");
    jsonw_key_str(&w, "context_id", op->id);
    jsonw_object_end(&w);
    struct api_call *call = api_op_close(base);
    if (call != NULL)
        api_reply(call, 200, &body);
    else
        buf_done(&body);
}

static void context_release(struct api_op *base)
{
    free(container_of(base, struct context_op, op));
}
