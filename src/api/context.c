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
#include "stream/describe.h"
#include "wire/reply.h"
#include "wire/request.h"

#define CONTEXT_LIFETIME_S 3600
#define CONTEXT_TIMEOUT_MS 60000 /* a create starts a kernel */
#define CONTEXT_MAX_ID     128
#define CONTEXT_LIST_MAX   (1u << 20)
#define CONTEXT_DEFAULT    "default-" /* and a language: the context of code that names none */

struct context_op {
    struct api_op op;
    char id[CONTEXT_MAX_ID + 1];
    int status;          /* HTTP status of the answer */
    bool details;        /* with `status` and `last_used` */
    const char *message; /* of an answer without a context */
    struct buf body;     /* list: the JSON so far */
    struct jsonw w;      /* writes to `body` */
};

static void context_frame(struct api_op *op, const struct wire_frame *frame);
static void done_frame(struct api_op *op, const struct wire_frame *frame);
static void listed_frame(struct api_op *op, const struct wire_frame *frame);
static void context_release(struct api_op *op);

static const struct api_op_ops context_ops = {.frame = context_frame, .release = context_release};
static const struct api_op_ops done_ops = {.frame = done_frame, .release = context_release};
static const struct api_op_ops list_ops = {.frame = listed_frame, .release = context_release};

/* NULL: the request has its answer. */
static struct context_op *context_new(struct api_call *call, const char *id, int status)
{
    struct context_op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    strcpy(op->id, id);
    op->status = status;
    op->details = status == 200;
    return op;
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
    struct context_op *op = context_new(call, id, 201);
    if (op == NULL)
        return;
    wire_request_context_create(
        &request,
        &(struct wire_context_params){
            .id = id, .language = language, .cwd = cwd, .lifetime_s = CONTEXT_LIFETIME_S});
    api_op_start(&op->op, call, &context_ops, &request, CONTEXT_TIMEOUT_MS);
}

/* What the route's `:context` names: an id, or the default context of a language. */
struct context_name {
    const char *id, *language;
};

static bool context_named(struct api_call *call, struct context_name *ret)
{
    const char *id = call->params[1];
    size_t prefix = strlen(CONTEXT_DEFAULT);
    bool is_default = strncmp(id, CONTEXT_DEFAULT, prefix) == 0;
    *ret = (struct context_name){.id = is_default ? "" : id,
                                 .language = is_default ? id + prefix : ""};
    if (strlen(id) <= CONTEXT_MAX_ID)
        return true;
    api_fail_code(call, ERROR_CONTEXT_NOT_FOUND, "Context not found");
    return false;
}

static void context_by_id(struct api_call *call, void (*encode)(struct buf *b, const char *id),
                          const struct api_op_ops *ops, const char *message)
{
    struct context_name name;
    struct buf request = {0};
    if (!context_named(call, &name))
        return;
    struct context_op *op = context_new(call, call->params[1], 200);
    if (op == NULL)
        return;
    op->message = message;
    encode(&request, call->params[1]);
    api_op_start(&op->op, call, ops, &request, CONTEXT_TIMEOUT_MS);
}

void api_context_get(struct api_call *call)
{
    context_by_id(call, wire_request_context_get, &context_ops, NULL);
}

void api_context_delete(struct api_call *call)
{
    context_by_id(call, wire_request_context_delete, &done_ops, "Context deleted successfully");
}

static void context_act(struct api_call *call,
                        void (*encode)(struct buf *b, const char *id, const char *language),
                        const char *message)
{
    struct context_name name;
    struct buf request = {0};
    if (!context_named(call, &name))
        return;
    struct context_op *op = context_new(call, call->params[1], 200);
    if (op == NULL)
        return;
    op->message = message;
    encode(&request, name.id, name.language);
    api_op_start(&op->op, call, &done_ops, &request, CONTEXT_TIMEOUT_MS);
}

void api_context_interrupt(struct api_call *call)
{
    context_act(call, wire_request_context_interrupt, "Context interrupted");
}

void api_context_restart(struct api_call *call)
{
    context_act(call, wire_request_context_restart, "Context restarted");
}

void api_context_list(struct api_call *call)
{
    struct buf request = {0};
    struct context_op *op = context_new(call, "", 200);
    if (op == NULL)
        return;
    op->w.out = &op->body;
    jsonw_object(&op->w);
    jsonw_key(&op->w, "contexts");
    jsonw_array(&op->w);
    wire_request_context_list(&request);
    api_op_start(&op->op, call, &list_ops, &request, CONTEXT_TIMEOUT_MS);
}

/* The id of a default context is made up here, of its language. */
static void write_context(struct jsonw *w, const struct wire_context *context, bool details)
{
    cleanup_buf struct buf id = {0};
    if (context->id.len == 0)
        (void)buf_append_str(&id, CONTEXT_DEFAULT);
    const struct span *name = context->id.len == 0 ? &context->language : &context->id;
    (void)buf_append(&id, name->data, name->len);
    jsonw_object(w);
    describe_span(w, "context_id", (struct span){(const char *)id.data, id.len});
    describe_span(w, "language", context->language);
    describe_span(w, "cwd", context->cwd);
    if (details)
        describe_span(w, "status", context->status);
    jsonw_key_time(w, "created_at", context->created_ms);
    jsonw_key_time(w, "expires_at", context->expires_ms);
    if (details)
        jsonw_key_time(w, "last_used", context->last_used_ms);
    jsonw_object_end(w);
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
    write_context(&w, &context, op->details);
    struct api_call *call = api_op_close(base);
    if (call != NULL)
        api_reply(call, op->status, &body);
    else
        buf_done(&body);
}

static void done_frame(struct api_op *base, const struct wire_frame *frame)
{
    struct context_op *op = container_of(base, struct context_op, op);
    if (!wire_reply_is(frame, WIRE_OK)) {
        api_op_bad_frame(base);
        return;
    }
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", op->message);
    jsonw_key_str(&w, "context_id", op->id);
    jsonw_object_end(&w);
    struct api_call *call = api_op_close(base);
    if (call != NULL)
        api_reply(call, 200, &body);
    else
        buf_done(&body);
}

static void listed_frame(struct api_op *base, const struct wire_frame *frame)
{
    struct context_op *op = container_of(base, struct context_op, op);
    struct wire_context context;
    if (wire_reply_context(frame, &context)) {
        write_context(&op->w, &context, true);
        if (op->body.len > CONTEXT_LIST_MAX)
            api_op_bad_frame(base); /* the bridge has few contexts */
    } else if (wire_reply_is(frame, WIRE_END)) {
        jsonw_array_end(&op->w);
        jsonw_object_end(&op->w);
        struct buf body = op->body;
        op->body = (struct buf){0};
        api_reply(api_op_close(base), 200, &body);
    } else {
        api_op_bad_frame(base);
    }
}

static void context_release(struct api_op *base)
{
    struct context_op *op = container_of(base, struct context_op, op);
    buf_done(&op->body);
    free(op);
}
