/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - files/read, write, append: the contents of one file as JSON.
 *
 * JSON cannot be streamed to a client that wants it whole, so what is read is collected up to a
 * limit; large files go through upload and download instead. Paths are made absolute here
 * and passed on: the agent opens them as the sandbox's user, and its kernel says what is permitted.
 */
#include <errno.h>
#include <string.h>

#include "api/op.h"
#include "api/path.h"
#include "base/base64.h"
#include "base/utf8.h"
#include "wire/reply.h"
#include "wire/request.h"

#define FILE_TIMEOUT_MS 60000
#define FILE_READ_MAX   (32u << 20) /* bytes of a file read as JSON */

/* ENCODING_BESIDE: text as it is, and what is no text under a key of its own. */
enum file_encoding { ENCODING_AUTO, ENCODING_TEXT, ENCODING_BASE64, ENCODING_BESIDE };

/* One operation; fields that belong to the others stay zero. */
struct file_op {
    struct api_op op;
    const char *path; /* in the request's arena: valid while op.call is */
    enum file_encoding encoding;
    struct buf data; /* read: the bytes; write: what is to be written */
    size_t sent;     /* write: bytes of `data` handed to the connection */
    bool started;    /* read: the STAT frame came */
    bool ended;      /* write: END was sent */
};

static void file_release(struct api_op *op);

static struct file_op *file_new(struct api_call *call, struct error *err)
{
    const char *path = NULL;
    if (json_need_str(call->body, "path", &path, err) < 0)
        return NULL;
    path = api_path(call, path, err);
    if (path == NULL)
        return NULL;
    struct file_op *f = calloc(1, sizeof(*f));
    if (f == NULL)
        error_set(err, ERROR_INTERNAL, "Out of memory");
    else
        f->path = path;
    return f;
}

static void file_release(struct api_op *op)
{
    struct file_op *f = container_of(op, struct file_op, op);
    buf_done(&f->data);
    free(f);
}

/* --- read --- */

static int parse_encoding(struct api_call *call, enum file_encoding *ret, struct error *err)
{
    const char *text = NULL;
    bool beside = false;
    int rv = json_get_str(call->body, "encoding", NULL, &text, err);
    if (rv == 0)
        rv = json_get_bool(call->body, "content_base64", false, &beside, err);
    if (rv < 0)
        return rv;
    if (text == NULL)
        *ret = beside ? ENCODING_BESIDE : ENCODING_AUTO;
    else if (strcmp(text, "utf-8") == 0)
        *ret = ENCODING_TEXT;
    else if (strcmp(text, "base64") == 0)
        *ret = ENCODING_BASE64;
    else
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field 'encoding' must be \"utf-8\" or \"base64\"");
    return 0;
}

static void file_read_reply(struct file_op *f)
{
    struct buf body = {0}, text = {0};
    struct jsonw w = {.out = &body};
    bool base64 = f->encoding == ENCODING_BASE64 ||
                  (f->encoding != ENCODING_TEXT && !utf8_valid(f->data.data, f->data.len));
    bool beside = base64 && f->encoding == ENCODING_BESIDE;
    const char *path = f->path;
    struct api_call *call = api_op_close(&f->op);
    if (call == NULL)
        return;
    if (base64)
        (void)base64_encode(&text, f->data.data, f->data.len);
    const struct buf *content = base64 ? &text : &f->data;
    jsonw_object(&w);
    if (beside)
        jsonw_key_str(&w, "content", "");
    jsonw_key(&w, beside ? "content_base64" : "content");
    jsonw_strn(&w, (const char *)content->data, content->len);
    jsonw_key_str(&w, "path", path);
    jsonw_key_int(&w, "size", (int64_t)f->data.len);
    /* Strict clients reject keys that they do not know, so only a client that asked for an encoding
     * gets the key. */
    if (f->encoding == ENCODING_TEXT || f->encoding == ENCODING_BASE64)
        jsonw_key_str(&w, "encoding", base64 ? "base64" : "utf-8");
    jsonw_object_end(&w);
    body.failed = body.failed || text.failed;
    buf_done(&text);
    api_reply(call, 200, &body);
}

static void file_too_large(struct file_op *f)
{
    struct api_call *call = api_op_close(&f->op);
    if (call != NULL)
        api_fail_code(call, ERROR_BODY_TOO_LARGE,
                      "The file is too large for this route; download it");
}

static void file_read_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct file_op *f = container_of(op, struct file_op, op);
    struct wire_stat stat;
    if (frame->type == WIRE_STAT && wire_reply_stat(frame, &stat) && !f->started) {
        f->started = true;
    } else if (frame->type == WIRE_DATA && f->started) {
        if (frame->len > FILE_READ_MAX - f->data.len)
            file_too_large(f);
        else
            (void)buf_append(&f->data, frame->payload, frame->len);
    } else if (wire_reply_is(frame, WIRE_END) && f->started) {
        file_read_reply(f);
    } else {
        api_op_bad_frame(op);
    }
}

static const struct api_op_ops read_ops = {.frame = file_read_frame, .release = file_release};

void api_file_read(struct api_call *call)
{
    struct error err;
    struct buf request = {0};
    struct file_op *f = file_new(call, &err);
    if (f == NULL || parse_encoding(call, &f->encoding, &err) < 0) {
        free(f);
        api_fail(call, &err);
        return;
    }
    wire_request_read(&request, f->path, 0, UINT64_MAX);
    api_op_start(&f->op, call, &read_ops, &request, FILE_TIMEOUT_MS);
}

/* --- write --- */

/* Sends while the connection takes more, so that a large file is never queued whole. */
static void file_write_pump(struct api_op *op)
{
    struct file_op *f = container_of(op, struct file_op, op);
    while (f->sent < f->data.len && agent_call_writable(&op->agent)) {
        size_t n = MIN(f->data.len - f->sent, (size_t)WIRE_CHUNK);
        if (agent_call_send(&op->agent, WIRE_DATA, f->data.data + f->sent, n) < 0)
            return; /* `failed` follows */
        f->sent += n;
    }
    if (f->sent == f->data.len && !f->ended) {
        f->ended = true;
        (void)agent_call_send(&op->agent, WIRE_END, NULL, 0);
    }
}

static void file_write_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct file_op *f = container_of(op, struct file_op, op);
    struct wire_written written;
    if (!wire_reply_written(frame, &written) || !f->ended) {
        api_op_bad_frame(op);
        return;
    }
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "File written successfully");
    jsonw_key_str(&w, "path", f->path);
    jsonw_key_int(&w, "bytes_written", (int64_t)f->data.len);
    jsonw_object_end(&w);
    api_reply(api_op_close(op), 200, &body);
}

static const struct api_op_ops write_ops = {.frame = file_write_frame,
                                            .ready = file_write_pump,
                                            .drained = file_write_pump,
                                            .release = file_release};

static int decode_content(struct file_op *f, const char *field, const char *text, size_t len,
                          struct error *err)
{
    int rv = base64_decode(&f->data, text, len);
    if (rv == -EINVAL)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' is not base64", field);
    return rv < 0 ? error_set(err, ERROR_INTERNAL, "Out of memory") : 0;
}

static int parse_content(struct api_call *call, struct file_op *f, struct error *err)
{
    cleanup_buf struct buf content = {0};
    const char *base64 = NULL;
    int rv = json_get_str(call->body, "content_base64", NULL, &base64, err);
    if (rv == 0 && base64 != NULL)
        return decode_content(f, "content_base64", base64, strlen(base64), err);
    if (rv == 0)
        rv = json_need_bytes(call->body, "content", &content, err);
    if (rv == 0)
        rv = parse_encoding(call, &f->encoding, err);
    if (rv < 0)
        return rv;
    if (f->encoding == ENCODING_BASE64)
        return decode_content(f, "content", (const char *)content.data, content.len, err);
    f->data = content;
    content = (struct buf){0};
    return 0;
}

static void file_write(struct api_call *call, uint32_t flags)
{
    struct error err;
    struct buf request = {0};
    struct file_op *f = file_new(call, &err);
    if (f == NULL || parse_content(call, f, &err) < 0) {
        if (f != NULL)
            file_release(&f->op);
        api_fail(call, &err);
        return;
    }
    wire_request_write(&request, f->path, 0, flags);
    api_op_start(&f->op, call, &write_ops, &request, FILE_TIMEOUT_MS);
}

void api_file_write(struct api_call *call)
{
    file_write(call, WIRE_WRITE_PARENTS);
}

void api_file_append(struct api_call *call)
{
    file_write(call, WIRE_WRITE_PARENTS | WIRE_WRITE_APPEND);
}
