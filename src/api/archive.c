/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive.c - a directory of the sandbox as a tar archive: down, the body of the answer; up, the
 * body of the request.
 *
 * The happy path down is: PACK, DATA straight to the client, END. Up: UNPACK is opened, the body
 * goes to the agent as it comes, END, UNPACKED, the answer. Possible failure modes are: the
 * directory cannot be read or made, the archive is refused (the agent's error; once an answer has
 * begun, the connection is cut, and the archive lacks its end); one side is slower than the other
 * (the operation or the body pauses); the client goes away (what was unpacked stays).
 */
#include <string.h>

#include "api/op.h"
#include "api/path.h"
#include "wire/reply.h"
#include "wire/request.h"

#define ARCHIVE_TYPE     "application/x-tar"
#define ARCHIVE_STALL_MS 60000 /* for the first frame, and for UNPACKED */

struct archive {
    struct api_op op;
    const char *path; /* in the request's arena */
    /* Up. */
    struct buf held; /* of the body, not sent yet */
    bool open;       /* the agent takes bytes */
    bool complete;   /* the body is over */
    bool ended;      /* END was sent */
    /* Down. */
    bool started; /* the answer's headers have left */
};

/* The header is a list of types; quality and order do not matter, as there is one alternative. */
static bool archive_is_named(const struct http_str *header)
{
    return header != NULL && strcasestr(header->data, ARCHIVE_TYPE) != NULL;
}

bool api_archive_wanted(struct api_call *call)
{
    return archive_is_named(http_header(call->req, "Accept"));
}

bool api_archive_sent(struct api_call *call)
{
    return archive_is_named(http_header(call->req, "Content-Type"));
}

static void archive_release(struct api_op *op)
{
    struct archive *a = container_of(op, struct archive, op);
    buf_done(&a->held);
    free(a);
}

/* NULL: the request has its answer. */
static struct archive *archive_new(struct api_call *call)
{
    struct error err;
    const char *path = http_query(call->req, "path");
    struct archive *a = NULL;
    if (path == NULL)
        error_set(&err, ERROR_INVALID_ARGUMENT, "Query parameter 'path' is required");
    else if ((path = api_path(call, path, &err)) != NULL && (a = calloc(1, sizeof(*a))) == NULL)
        error_set(&err, ERROR_INTERNAL, "Out of memory");
    if (a == NULL)
        api_fail(call, &err);
    else
        a->path = path;
    return a;
}

/* --- down --- */

static void archive_writable(struct http_request *req)
{
    struct api_call *call = req->app;
    struct api_op *op = call->state;
    if (op != NULL)
        agent_call_resume(&op->agent);
}

static void archive_begin(struct archive *a)
{
    struct http_request *req = a->op.call->req;
    const char *name = api_path_name(a->path);
    agent_call_set_deadline(&a->op.agent, 0);
    a->started = true;
    req->writable = archive_writable;
    api_add_disposition(req, arena_printf(&req->arena, "%s.tar", name[0] != '\0' ? name : "root"));
    http_reply_start(req, 200, ARCHIVE_TYPE, -1);
}

static void archive_down_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct archive *a = container_of(op, struct archive, op);
    bool data = frame->type == WIRE_DATA, last = wire_reply_is(frame, WIRE_END);
    if (!data && !(last && a->started)) {
        api_op_bad_frame(op);
        return;
    }
    if (!a->started)
        archive_begin(a);
    if (last || op->call->req->method == METHOD_HEAD) {
        http_reply_end(api_op_close(op)->req);
        return;
    }
    http_reply_write(op->call->req, frame->payload, frame->len);
    if (!http_reply_writable(op->call->req))
        agent_call_pause(&op->agent);
}

static const struct api_op_ops archive_down_ops = {.frame = archive_down_frame,
                                                   .release = archive_release};

void api_archive_download(struct api_call *call)
{
    struct buf request = {0};
    struct archive *a = archive_new(call);
    if (a == NULL)
        return;
    wire_request_pack(&request, a->path);
    api_op_start(&a->op, call, &archive_down_ops, &request, ARCHIVE_STALL_MS);
}

/* --- up --- */

static void archive_pump(struct archive *a)
{
    while (a->open && a->held.len > 0 && agent_call_writable(&a->op.agent)) {
        size_t n = MIN(a->held.len, (size_t)WIRE_CHUNK);
        (void)agent_call_send(&a->op.agent, WIRE_DATA, a->held.data, n);
        buf_consume(&a->held, n);
    }
    if (a->held.len > 0 || !a->open) {
        http_body_pause(a->op.call->req);
    } else if (!a->complete) {
        http_body_resume(a->op.call->req);
    } else if (!a->ended) {
        a->ended = true;
        (void)agent_call_send(&a->op.agent, WIRE_END, NULL, 0);
        agent_call_set_deadline(&a->op.agent, ARCHIVE_STALL_MS);
    }
}

static void archive_up_ready(struct api_op *op)
{
    struct archive *a = container_of(op, struct archive, op);
    a->open = true;
    archive_pump(a);
}

static void archive_up_drained(struct api_op *op)
{
    if (op->call != NULL)
        archive_pump(container_of(op, struct archive, op));
}

static void archive_up_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct archive *a = container_of(op, struct archive, op);
    struct wire_unpacked unpacked;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    if (!a->ended || !wire_reply_unpacked(frame, &unpacked)) {
        api_op_bad_frame(op);
        return;
    }
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "Archive unpacked successfully");
    jsonw_key_str(&w, "path", a->path);
    jsonw_key_int(&w, "entries", (int64_t)MIN(unpacked.entries, (uint64_t)INT64_MAX));
    jsonw_key_int(&w, "size", (int64_t)MIN(unpacked.bytes, (uint64_t)INT64_MAX));
    jsonw_object_end(&w);
    api_reply(api_op_close(op), 200, &body);
}

static const struct api_op_ops archive_up_ops = {.ready = archive_up_ready,
                                                 .frame = archive_up_frame,
                                                 .drained = archive_up_drained,
                                                 .release = archive_release};

static void archive_up_start(struct api_call *call)
{
    struct buf request = {0};
    struct archive *a = archive_new(call);
    if (a == NULL)
        return;
    wire_request_unpack(&request, a->path);
    api_op_start(&a->op, call, &archive_up_ops, &request, 0);
}

static void archive_up_data(struct api_call *call, const uint8_t *data, size_t len)
{
    struct archive *a = call->state;
    if (a == NULL)
        return;
    if (buf_append(&a->held, data, len) < 0)
        api_fail_code(api_op_close(&a->op), ERROR_INTERNAL, "Out of memory");
    else
        archive_pump(a);
}

static void archive_up_end(struct api_call *call)
{
    struct archive *a = call->state;
    if (a == NULL)
        return;
    a->complete = true;
    if (a->open)
        archive_pump(a);
}

const struct api_route api_archive_up_route = {
    .method = METHOD_POST,
    .pattern = "/sandboxes/:id/upload",
    .flags = API_AGENTS | API_SANDBOX | API_RUNNING | API_STREAM,
    .scope = SCOPE_RUN,
    .handler = archive_up_start,
    .data = archive_up_data,
    .end = archive_up_end,
};
