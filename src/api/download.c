/* SPDX-License-Identifier: Apache-2.0 */
/*
 * download.c - a file of the sandbox as the body of an answer, whole or a range of it.
 *
 * The happy path is: READ, STAT (status and headers leave), DATA straight to the client, END.
 * Possible failure modes are: the file cannot be read (its error, before the headers); it shrinks
 * or the sandbox dies while it is sent (the connection is cut, so that the client notices); the
 * client reads slower than the sandbox sends (the operation is paused).
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/op.h"
#include "api/path.h"
#include "api/range.h"
#include "wire/reply.h"
#include "wire/request.h"

#define DOWNLOAD_STALL_MS 60000 /* for the first frame */

struct download {
    struct api_op op;
    const char *path;
    struct range range;
    uint64_t left; /* bytes of the answer not sent yet */
    bool started;  /* the answer's headers have left */
};

static void download_frame(struct api_op *op, const struct wire_frame *frame);
static void download_release(struct api_op *op);
static void download_writable(struct http_request *req);

static const struct api_op_ops download_ops = {.frame = download_frame,
                                               .release = download_release};

static void encode_read(struct buf *request, const struct download *d)
{
    const struct range *r = &d->range;
    wire_request_read(request, d->path, r->suffix ? r->first | WIRE_READ_LAST : r->first,
                      r->last == UINT64_MAX ? UINT64_MAX : r->last - r->first + 1);
}

void api_download(struct api_call *call)
{
    if (api_archive_wanted(call))
        api_archive_download(call);
    else
        api_download_from(call, http_query(call->req, "path"));
}

void api_download_from(struct api_call *call, const char *path)
{
    struct error err;
    struct buf request = {0};
    if (path == NULL) {
        api_fail_code(call, ERROR_INVALID_ARGUMENT, "Query parameter 'path' is required");
        return;
    }
    path = api_path(call, path, &err);
    struct download *d = path != NULL ? calloc(1, sizeof(*d)) : NULL;
    if (d == NULL) {
        if (path != NULL)
            error_set(&err, ERROR_INTERNAL, "Out of memory");
        api_fail(call, &err);
        return;
    }
    d->path = path;
    const struct http_str *range = http_header(call->req, "Range");
    d->range = range_parse(range != NULL ? range->data : NULL);
    encode_read(&request, d);
    api_op_start(&d->op, call, &download_ops, &request, DOWNLOAD_STALL_MS);
}

/* The name for the client's file system: quoted ASCII, and the real one beside it (RFC 6266). */
void api_add_disposition(struct http_request *req, const char *name)
{
    cleanup_buf struct buf value = {0};
    bool plain = true;
    (void)buf_append_str(&value, "attachment; filename=\"");
    for (const char *p = name; *p != '\0'; p++) {
        bool ok = *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\';
        plain = plain && ok;
        (void)buf_append(&value, ok ? p : "_", 1);
    }
    (void)buf_append(&value, "\"", 1);
    if (!plain) {
        (void)buf_append_str(&value, "; filename*=UTF-8''");
        for (const char *p = name; *p != '\0'; p++)
            (void)buf_printf(&value,
                             isalnum((unsigned char)*p) || strchr("._-", *p) ? "%c" : "%%%02X",
                             (unsigned char)*p);
    }
    if (buf_cstr(&value) != NULL)
        (void)http_add_header(req, "Content-Disposition", (char *)value.data);
}

static void download_begin(struct download *d, uint64_t size)
{
    struct http_request *req = d->op.call->req;
    char text[80];
    if (!range_fit(&d->range, size)) {
        (void)snprintf(text, sizeof(text), "bytes */%" PRIu64, size);
        (void)http_add_header(req, "Content-Range", text);
        api_fail_code(api_op_close(&d->op), ERROR_RANGE_INVALID, "The range lies outside the file");
        return;
    }
    d->left = size;
    if (d->range.wanted) {
        d->left = d->range.last - d->range.first + 1;
        (void)snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, d->range.first,
                       d->range.last, size);
        (void)http_add_header(req, "Content-Range", text);
    }
    (void)http_add_header(req, "Accept-Ranges", "bytes");
    api_add_disposition(req, api_path_name(d->path));
    agent_call_set_deadline(&d->op.agent, 0);
    d->started = true;
    req->writable = download_writable;
    http_reply_start(req, d->range.wanted ? 206 : 200, "application/octet-stream",
                     (int64_t)d->left);
    if (req->method == METHOD_HEAD)
        http_reply_end(api_op_close(&d->op)->req);
}

static void download_stat(struct download *d, const struct wire_frame *frame)
{
    struct wire_stat stat;
    if (!wire_reply_stat(frame, &stat) || stat.size > INT64_MAX)
        api_op_bad_frame(&d->op);
    else
        download_begin(d, stat.size);
}

static void download_data(struct download *d, const struct wire_frame *frame)
{
    struct http_request *req = d->op.call->req;
    size_t n = MIN(frame->len, d->left); /* the file may have grown */
    d->left -= n;
    http_reply_write(req, frame->payload, n);
    if (!http_reply_writable(req))
        agent_call_pause(&d->op.agent);
}

static void download_writable(struct http_request *req)
{
    struct api_call *call = req->app;
    struct api_op *op = call->state;
    if (op != NULL)
        agent_call_resume(&op->agent);
}

static void download_end(struct download *d)
{
    bool whole = d->left == 0;
    struct api_call *call = api_op_close(&d->op);
    if (whole)
        http_reply_end(call->req);
    else
        http_reply_abort(call->req); /* the file has shrunk */
}

static void download_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct download *d = container_of(op, struct download, op);
    if (frame->type == WIRE_STAT && !d->started)
        download_stat(d, frame);
    else if (frame->type == WIRE_DATA && d->started)
        download_data(d, frame);
    else if (wire_reply_is(frame, WIRE_END) && d->started)
        download_end(d);
    else
        api_op_bad_frame(op);
}

static void download_release(struct api_op *op)
{
    free(container_of(op, struct download, op));
}
