/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw_upload.c - a file whose bytes are the body itself, as they are or compressed by gzip.
 *
 * The happy path is: WRITE is opened, the body goes to the agent as it comes, END, WRITTEN, the
 * answer. Possible failure modes are: the agent cannot write (its error); the body is no gzip or
 * ends early (400); the agent takes bytes more slowly than they come (the body pauses); the client
 * goes away (the file does not appear).
 */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

#include "api/op.h"
#include "api/path.h"
#include "wire/reply.h"
#include "wire/request.h"

struct raw_upload {
    struct api_op op;
    const char *path; /* in the request's arena */
    struct api_notes notes;
    struct buf held; /* of the body, not sent yet */
    bool open;       /* the agent takes bytes */
    bool complete;   /* the body is over */
    bool ended;      /* END was sent */
    bool gzip;
    bool inflated; /* the end of the compressed data was seen */
    z_stream z;
};

static void raw_upload_fail(struct raw_upload *r, const char *message)
{
    api_fail_code(api_op_close(&r->op), ERROR_INVALID_REQUEST, message);
}

/* Sends one piece of what is held. False: the request has its answer. */
static bool raw_upload_piece(struct raw_upload *r)
{
    uint8_t out[WIRE_CHUNK];
    if (!r->gzip) {
        size_t n = MIN(r->held.len, sizeof(out));
        (void)agent_call_send(&r->op.agent, WIRE_DATA, r->held.data, n);
        buf_consume(&r->held, n);
        return true;
    }
    if (r->inflated) {
        raw_upload_fail(r, "Bytes follow the end of the compressed data");
        return false;
    }
    r->z.next_in = r->held.data;
    r->z.avail_in = (unsigned int)MIN(r->held.len, (size_t)UINT32_MAX);
    unsigned int given = r->z.avail_in;
    r->z.next_out = out;
    r->z.avail_out = sizeof(out);
    int rv = inflate(&r->z, Z_NO_FLUSH);
    if (rv != Z_OK && rv != Z_STREAM_END) {
        raw_upload_fail(r, "The body is not what gzip makes");
        return false;
    }
    r->inflated = rv == Z_STREAM_END;
    if (r->z.avail_out < sizeof(out))
        (void)agent_call_send(&r->op.agent, WIRE_DATA, out, sizeof(out) - r->z.avail_out);
    buf_consume(&r->held, given - r->z.avail_in);
    return true;
}

static void raw_upload_pump(struct raw_upload *r)
{
    /* What inflate has kept comes out with the next bytes, of which the trailer has eight. */
    while (r->open && r->held.len > 0 && agent_call_writable(&r->op.agent)) {
        if (!raw_upload_piece(r))
            return;
    }
    if (r->held.len > 0 || !r->open) {
        http_body_pause(r->op.call->req);
    } else if (!r->complete) {
        http_body_resume(r->op.call->req);
    } else if (r->gzip && !r->inflated) {
        raw_upload_fail(r, "The compressed data ends early");
    } else if (!r->ended) {
        r->ended = true;
        (void)agent_call_send(&r->op.agent, WIRE_END, NULL, 0);
    }
}

static void raw_upload_ready(struct api_op *op)
{
    struct raw_upload *r = container_of(op, struct raw_upload, op);
    r->open = true;
    raw_upload_pump(r);
}

static void raw_upload_drained(struct api_op *op)
{
    struct raw_upload *r = container_of(op, struct raw_upload, op);
    if (op->call != NULL)
        raw_upload_pump(r);
}

static void raw_upload_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct raw_upload *r = container_of(op, struct raw_upload, op);
    struct wire_written written;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    if (!r->ended || !wire_reply_written(frame, &written)) {
        api_op_bad_frame(op);
        return;
    }
    jsonw_array(&w);
    api_upload_entry(&w, r->path, written.path, &r->notes);
    jsonw_array_end(&w);
    api_reply(api_op_close(op), 200, &body);
}

static void raw_upload_release(struct api_op *op)
{
    struct raw_upload *r = container_of(op, struct raw_upload, op);
    if (r->gzip)
        (void)inflateEnd(&r->z);
    buf_done(&r->held);
    free(r);
}

static const struct api_op_ops raw_upload_ops = {.ready = raw_upload_ready,
                                                 .frame = raw_upload_frame,
                                                 .drained = raw_upload_drained,
                                                 .release = raw_upload_release};

static int raw_upload_parse(struct api_call *call, struct raw_upload *r, const char *path,
                            struct error *err)
{
    const struct http_str *encoding = http_header(call->req, "Content-Encoding");
    r->path = api_path(call, path, err);
    if (r->path == NULL)
        return -EINVAL;
    if (encoding == NULL || strcasecmp(encoding->data, "identity") == 0)
        return 0;
    if (strcasecmp(encoding->data, "gzip") != 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Only gzip is known as an encoding");
    r->gzip = inflateInit2(&r->z, 15 + 16) == Z_OK; /* with gzip's own head and trailer */
    return r->gzip ? 0 : error_set(err, ERROR_INTERNAL, "Out of memory");
}

void api_raw_upload_to(struct api_call *call, const char *path, const struct api_notes *notes)
{
    struct error err;
    struct buf request = {0};
    struct raw_upload *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    r->notes = *notes;
    if (raw_upload_parse(call, r, path, &err) < 0) {
        raw_upload_release(&r->op);
        api_fail(call, &err);
        return;
    }
    wire_request_write(&request, r->path, 0, WIRE_WRITE_PARENTS);
    if (r->notes.attributes != NULL)
        wire_request_write_attributes(&request, r->notes.attributes);
    api_op_start(&r->op, call, &raw_upload_ops, &request, 0);
}

void api_raw_upload_data(struct api_call *call, const uint8_t *data, size_t len)
{
    struct raw_upload *r = call->state;
    if (r == NULL)
        return;
    if (buf_append(&r->held, data, len) < 0)
        api_fail_code(api_op_close(&r->op), ERROR_INTERNAL, "Out of memory");
    else
        raw_upload_pump(r);
}

void api_raw_upload_end(struct api_call *call)
{
    struct raw_upload *r = call->state;
    if (r == NULL)
        return;
    r->complete = true;
    if (r->open)
        raw_upload_pump(r);
}
