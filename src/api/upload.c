/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload.c - multipart uploads: one file (upload, files/upload) or many (files).
 *
 * The happy path is: the body is parsed as it arrives; each file part opens a WRITE in the sandbox
 * and its bytes go straight there; END and WRITTEN finish it; the last boundary is answered.
 * Possible failure modes are: the body is malformed or ends early (400); a file cannot be written
 * (the only one: its error; one of many: its entry, and 207); the sandbox does not take bytes as
 * fast as they come (the body pauses); the client goes away. A file that was not finished is never
 * visible.
 *
 * Memory: the piece being parsed (one read of the socket) and the write queue of one connection.
 * Clients differ in the order of their parts. When the file comes before its `path`, its END waits
 * for the end of the body and carries the path.
 */
#include <errno.h>
#include <string.h>

#include "api/api.h"
#include "api/path.h"
#include "http/multipart.h"
#include "wire/call.h"
#include "wire/reply.h"
#include "wire/request.h"

#define UPLOAD_MAX_FILES 1000
#define UPLOAD_STALL_MS  120000 /* for WRITTEN, after END */

enum upload_state {
    UPLOAD_IDLE,     /* between parts, or in a plain field */
    UPLOAD_OPENING,  /* waits for the WRITE's connection; the body is paused */
    UPLOAD_WRITING,  /* DATA goes to the sandbox */
    UPLOAD_SKIPPING, /* the file failed; its bytes are dropped */
    UPLOAD_HOLDING,  /* the file's bytes are complete, END waits for `path` */
    UPLOAD_ENDING,   /* waits for WRITTEN; the body is paused */
    UPLOAD_CLOSING,  /* waits for the connection's close before the next part; the body is paused */
};

struct upload {
    struct api_call *call; /* NULL once the request is answered or gone */
    struct multipart multipart;
    struct agent_call agent;
    enum upload_state state;
    bool agent_open;    /* `agent` has not closed */
    bool many;          /* the route takes many files and answers with a list */
    bool strict;        /* a file that fails fails the request, also among many */
    bool complete;      /* the body is over */
    bool in_path;       /* the part is the field `path` */
    bool skip;          /* after the close: the part's bytes are not over */
    struct buf path;    /* the field or query parameter, as a C string when not empty */
    struct buf held;    /* of the body, not parsed yet */
    const char *target; /* of the file being written; in the request's arena */
    uint32_t mode;
    unsigned int files, failures;
    uint64_t size;      /* as written, of the last file */
    struct buf entries; /* JSON of the answer's list */
    struct error error; /* of the last file that failed */
    struct api_notes notes;
};

static int upload_on_part(struct multipart *m, const char *name, const char *filename);
static int upload_on_part_data(struct multipart *m, const uint8_t *data, size_t len);
static int upload_on_part_end(struct multipart *m);
static void upload_pump(struct upload *u);
static void upload_on_opened(struct agent_call *agent);
static void upload_on_frame(struct agent_call *agent, const struct wire_frame *frame);
static void upload_on_failed(struct agent_call *agent, const struct error *err);
static void upload_on_drained(struct agent_call *agent);
static void upload_on_closed(struct agent_call *agent);

static const struct agent_call_handler upload_agent = {
    .opened = upload_on_opened,
    .frame = upload_on_frame,
    .failed = upload_on_failed,
    .drained = upload_on_drained,
    .closed = upload_on_closed,
};

static const struct multipart_handler upload_parts = {upload_on_part, upload_on_part_data,
                                                      upload_on_part_end};

/* Frees it once it is detached and its connection has closed. */
static void upload_maybe_free(struct upload *u)
{
    if (u->call != NULL || u->agent_open)
        return;
    multipart_done(&u->multipart);
    buf_done(&u->path);
    buf_done(&u->held);
    buf_done(&u->entries);
    free(u);
}

/* The request is over: an unfinished file goes with its connection. The caller answers. */
static struct api_call *upload_detach(struct upload *u)
{
    struct api_call *call = u->call;
    u->call = NULL;
    call->cancel = NULL;
    call->state = NULL;
    if (u->agent_open)
        agent_call_close(&u->agent);
    upload_maybe_free(u);
    return call;
}

static void upload_cancel(struct api_call *call)
{
    (void)upload_detach(call->state);
}

static void upload_fail(struct upload *u, enum error_code code, const char *message)
{
    struct api_call *call = upload_detach(u);
    api_fail_code(call, code, message);
}

/* Python's notation (0o755), C's (0755) or plain octal digits. */
static uint32_t parse_mode(const char *text)
{
    char *end = NULL;
    if (text == NULL)
        return 0;
    if (text[0] == '0' && (text[1] == 'o' || text[1] == 'O'))
        text += 2;
    unsigned long mode = strtoul(text, &end, 8);
    return *end == '\0' && mode <= 07777 ? (uint32_t)mode : 0;
}

static void upload_start(struct api_call *call, bool many, const char *path)
{
    const struct http_str *type = http_header(call->req, "Content-Type");
    struct upload *u = calloc(1, sizeof(*u));
    if (u == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    if (type == NULL || multipart_init(&u->multipart, type->data, &upload_parts) < 0) {
        free(u);
        api_fail_code(call, ERROR_INVALID_REQUEST,
                      "The body must be multipart/form-data with a boundary");
        return;
    }
    u->call = call;
    u->many = many;
    u->strict = !many || call->surface != NULL;
    u->mode = parse_mode(http_query(call->req, "mode"));
    if (path != NULL)
        (void)buf_append_str(&u->path, path);
    call->state = u;
    call->cancel = upload_cancel;
}

void api_upload(struct api_call *call)
{
    if (api_archive_sent(call)) {
        call->route = &api_archive_up_route;
        call->route->handler(call);
        return;
    }
    upload_start(call, false, http_query(call->req, "path"));
}

void api_upload_many(struct api_call *call)
{
    upload_start(call, true, http_query(call->req, "path"));
}

void api_upload_to(struct api_call *call, const char *path, const struct api_notes *notes)
{
    upload_start(call, true, path);
    struct upload *u = call->state;
    if (u != NULL)
        u->notes = *notes;
}

void api_upload_entry(struct jsonw *w, const char *path, struct span written,
                      const struct api_notes *notes)
{
    jsonw_object(w);
    jsonw_key(w, "path");
    if (path[0] == '/') /* where links lead is the sandbox's affair: the client gets its own back */
        jsonw_str(w, path);
    else
        jsonw_strn(w, written.data, written.len);
    jsonw_key_str(w, "name", api_path_name(path));
    jsonw_key_str(w, "type", "file");
    if (notes->text != NULL) {
        jsonw_key(w, "metadata");
        jsonw_raw(w, notes->text, strlen(notes->text));
    }
    jsonw_object_end(w);
}

/* Counts a failure; with many files, writes its entry. */
static void upload_file_failed(struct upload *u, const struct error *err)
{
    u->failures++;
    u->error = *err;
    if (u->many) {
        struct jsonw w = {.out = &u->entries, .comma = u->entries.len > 0};
        jsonw_object(&w);
        jsonw_key_str(&w, "path", u->target != NULL ? u->target : "");
        jsonw_key_str(&w, "name", u->target != NULL ? api_path_name(u->target) : "");
        jsonw_key_str(&w, "error", err->message);
        jsonw_object_end(&w);
    }
}

/* Begins to write `target`: 1, for the parser to wait until it is open, or a negative errno. */
static int upload_open(struct upload *u)
{
    struct buf request = {0};
    wire_request_write(&request, u->target, u->mode, WIRE_WRITE_PARENTS);
    if (u->notes.attributes != NULL)
        wire_request_write_attributes(&request, u->notes.attributes);
    if (u->call->user != NULL)
        wire_request_as(&request, u->call->user);
    int rv = agent_call_start(&u->agent, &u->call->sandbox->target, &upload_agent, &request, 0);
    if (rv < 0)
        return rv;
    u->agent_open = true;
    u->state = UPLOAD_OPENING;
    return 1; /* the parser continues when the connection is open */
}

/* All bytes are sent; `path` is where the file goes, NULL: to `target`. WRITTEN follows. */
static void upload_end_file(struct upload *u, const char *path)
{
    struct buf end = {0};
    wire_request_write_end(&end, path);
    u->state = UPLOAD_ENDING;
    (void)agent_call_send_buf(&u->agent, &end);
    agent_call_set_deadline(&u->agent, UPLOAD_STALL_MS);
}

static void upload_on_opened(struct agent_call *agent)
{
    struct upload *u = container_of(agent, struct upload, agent);
    u->state = UPLOAD_WRITING;
    upload_pump(u);
}

static void upload_on_drained(struct agent_call *agent)
{
    struct upload *u = container_of(agent, struct upload, agent);
    if (u->state == UPLOAD_WRITING)
        upload_pump(u);
}

/* The connection of this file is not needed any more; the next event is its close. */
static void upload_close_agent(struct upload *u, bool skip)
{
    u->state = UPLOAD_CLOSING;
    u->skip = skip;
    agent_call_close(&u->agent);
}

/* One file failed. A single file fails the request; among many, the rest of its bytes are dropped.
 */
static void upload_agent_failed(struct upload *u, const struct error *err)
{
    if (!u->strict) {
        upload_file_failed(u, err);
        upload_close_agent(u, u->state == UPLOAD_WRITING || u->state == UPLOAD_OPENING);
    } else {
        const struct error copy = *err;
        api_fail(upload_detach(u), &copy);
    }
}

static void upload_on_failed(struct agent_call *agent, const struct error *err)
{
    upload_agent_failed(container_of(agent, struct upload, agent), err);
}

static void upload_written(struct upload *u, const struct wire_frame *frame)
{
    struct wire_written written;
    if (!wire_reply_written(frame, &written)) {
        agent_call_bad_frame(&u->agent);
        return;
    }
    u->size = written.size;
    if (u->many) {
        struct jsonw w = {.out = &u->entries, .comma = u->entries.len > 0};
        api_upload_entry(&w, u->target, written.path, &u->notes);
    }
    upload_close_agent(u, false);
}

static void upload_on_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    struct upload *u = container_of(agent, struct upload, agent);
    struct error err;
    if (frame->type == WIRE_ERROR) {
        wire_reply_error(frame, &err);
        upload_agent_failed(u, &err);
    } else if (frame->type == WIRE_WRITTEN && u->state == UPLOAD_ENDING) {
        upload_written(u, frame);
    } else {
        agent_call_bad_frame(agent);
    }
}

static void upload_on_closed(struct agent_call *agent)
{
    struct upload *u = container_of(agent, struct upload, agent);
    u->agent_open = false;
    if (u->call == NULL) {
        upload_maybe_free(u);
        return;
    }
    u->state = u->skip ? UPLOAD_SKIPPING : UPLOAD_IDLE;
    upload_pump(u);
}

/* Clients that name whole paths write a quotation mark in one as "%22". */
static const char *upload_unquote(struct arena *arena, const char *name)
{
    char *copy = arena_strndup(arena, name, strlen(name)), *out = copy;
    for (const char *p = copy; p != NULL && *p != '\0'; p++) {
        bool quote = strncmp(p, "%22", 3) == 0;
        *out++ = quote ? '"' : *p;
        p += quote ? 2 : 0;
    }
    if (out != NULL)
        *out = '\0';
    return copy != NULL ? copy : name;
}

/* Where a file goes. Without `path` it gets the name of the client's file; a `path` that ends in a
 * slash is a directory. With many files, the name of each is its whole path. */
static const char *upload_target(struct upload *u, const char *filename, struct error *err)
{
    struct arena *arena = &u->call->req->arena;
    const char *path = u->path.len > 0 ? buf_cstr(&u->path) : NULL;
    const char *base = api_path_name(filename);
    const char *name = u->many ? filename : base;
    if (name[0] == '\0')
        name = "file";
    if (u->strict && u->many)
        name = upload_unquote(arena, name);
    if (path == NULL)
        path = name;
    else if (path[strlen(path) - 1] == '/')
        path = arena_printf(arena, "%s%s", path, base[0] != '\0' ? base : "file");
    return api_path(u->call, path != NULL ? path : "", err);
}

static int upload_on_part(struct multipart *m, const char *name, const char *filename)
{
    struct upload *u = container_of(m, struct upload, multipart);
    struct error err;
    u->in_path = filename == NULL && strcmp(name, "path") == 0 && !u->many;
    if (u->in_path)
        buf_reset(&u->path);
    if (filename == NULL && strcmp(name, "file") != 0)
        return 0;
    if ((!u->many && u->files > 0) || u->files == UPLOAD_MAX_FILES)
        return -E2BIG;
    u->files++;
    u->target = upload_target(u, filename != NULL ? filename : "", &err);
    if (u->target == NULL) {
        upload_file_failed(u, &err);
        u->state = UPLOAD_SKIPPING;
        return 0;
    }
    return upload_open(u);
}

static int upload_on_part_data(struct multipart *m, const uint8_t *data, size_t len)
{
    struct upload *u = container_of(m, struct upload, multipart);
    if (u->in_path)
        return u->path.len + len > API_PATH_MAX ? -ENAMETOOLONG : buf_append(&u->path, data, len);
    if (u->state != UPLOAD_WRITING)
        return 0;
    while (len > 0) {
        size_t n = MIN(len, (size_t)WIRE_CHUNK);
        if (agent_call_send(&u->agent, WIRE_DATA, data, n) < 0)
            return 0; /* `failed` follows */
        data += n;
        len -= n;
    }
    return 0;
}

static int upload_on_part_end(struct multipart *m)
{
    struct upload *u = container_of(m, struct upload, multipart);
    if (u->in_path) {
        u->in_path = false;
        return 0;
    }
    if (u->state == UPLOAD_SKIPPING)
        u->state = UPLOAD_IDLE;
    if (u->state != UPLOAD_WRITING)
        return 0;
    if (!u->many && u->path.len == 0) {
        u->state = UPLOAD_HOLDING;
        return 0;
    }
    upload_end_file(u, NULL);
    return 1;
}

static void reply_one(struct upload *u)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    jsonw_key_str(&w, "message", "File uploaded successfully");
    jsonw_key_str(&w, "path", u->target);
    jsonw_key_int(&w, "size", (int64_t)u->size);
    jsonw_object_end(&w);
    api_reply(upload_detach(u), 200, &body);
}

static void reply_many(struct upload *u)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    int status = u->failures == 0 ? 200 : 207;
    jsonw_array(&w);
    if (u->entries.len > 0)
        jsonw_raw(&w, (const char *)u->entries.data, u->entries.len);
    jsonw_array_end(&w);
    api_reply(upload_detach(u), status, &body);
}

static void upload_finish(struct upload *u)
{
    if (!multipart_complete(&u->multipart)) {
        upload_fail(u, ERROR_INVALID_REQUEST, "The multipart body ends before its last boundary");
    } else if (u->files == 0) {
        upload_fail(u, ERROR_INVALID_ARGUMENT, "The body has no part 'file'");
    } else if (u->failures > 0 && (u->strict || u->files == 1)) {
        struct error err = u->error; /* 207 for the only file would read as a success */
        api_fail(upload_detach(u), &err);
    } else if (u->many) {
        reply_many(u);
    } else {
        reply_one(u);
    }
}

/* The body is over and END was held back: now the path of the file is known. */
static void upload_release_held(struct upload *u)
{
    struct error err;
    const char *path = NULL;
    if (u->path.len > 0) {
        path = upload_target(u, u->target, &err);
        if (path == NULL) {
            api_fail(upload_detach(u), &err);
            return;
        }
        u->target = path;
    }
    upload_end_file(u, path);
}

/* Parses what is there until an event must be waited for; pauses or resumes the body to match. */
static void upload_pump(struct upload *u)
{
    while (u->held.len > 0 && (u->state < UPLOAD_ENDING && u->state != UPLOAD_OPENING) &&
           (u->state != UPLOAD_WRITING || agent_call_writable(&u->agent))) {
        ssize_t n = multipart_feed(&u->multipart, u->held.data, u->held.len);
        if (n < 0) {
            upload_fail(u, n == -E2BIG ? ERROR_INVALID_ARGUMENT : ERROR_INVALID_REQUEST,
                        n == -E2BIG ? "The body has too many files"
                                    : "The multipart body is malformed");
            return;
        }
        buf_consume(&u->held, (size_t)n);
    }
    if (u->held.len > 0) {
        http_body_pause(u->call->req);
        return;
    }
    if (!u->complete)
        http_body_resume(u->call->req);
    else if (u->state == UPLOAD_HOLDING && multipart_complete(&u->multipart))
        upload_release_held(u);
    else if (u->state == UPLOAD_IDLE || u->state == UPLOAD_HOLDING || u->state == UPLOAD_SKIPPING ||
             u->state == UPLOAD_WRITING)
        upload_finish(u);
}

void api_upload_data(struct api_call *call, const uint8_t *data, size_t len)
{
    struct upload *u = call->state;
    if (u == NULL)
        return;
    if (buf_append(&u->held, data, len) < 0)
        upload_fail(u, ERROR_INTERNAL, "Out of memory");
    else
        upload_pump(u);
}

void api_upload_end(struct api_call *call)
{
    struct upload *u = call->state;
    if (u == NULL)
        return;
    u->complete = true;
    upload_pump(u);
}
