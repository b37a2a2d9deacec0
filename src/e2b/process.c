/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - process.Process: start, follow, feed, signal and list processes.
 *
 * A start is two questions: the process is started, and its output is followed from the beginning.
 * The process lives on when the client hangs up. What ends it is the deadline that the client gave
 * its start.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "api/ask.h"
#include "api/feed.h"
#include "api/process.h"
#include "api/ties.h"
#include "base/base64.h"
#include "base/num.h"
#include "e2b/internal.h"
#include "stream/connect.h"
#include "stream/tell.h"

bool e2b_take_message(struct api_call *call)
{
    struct error err;
    struct span text;
    struct buf *body = &call->req->body;
    if (connect_only_message(body->data, body->len, E2B_MAX_FRAME, &text) < 0) {
        api_fail_code(call, ERROR_INVALID_REQUEST, "The body is not one message");
        return false;
    }
    call->body = json_parse_object(text.data, text.len, &err);
    if (call->body == NULL)
        api_fail(call, &err);
    return call->body != NULL;
}

int e2b_which(const json *from, struct wire_which *ret, struct error *err)
{
    const json *process = NULL;
    const char *tag = NULL;
    int64_t pid = 0;
    int rv = json_get_object(from, "process", &process, err);
    if (rv == 0 && process == NULL)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'process' is required");
    if (rv == 0)
        rv = json_get_int(process, "pid", 0, 0, UINT32_MAX, &pid, err);
    if (rv == 0)
        rv = json_get_str(process, "tag", NULL, &tag, err);
    if (rv == 0 && pid == 0 && tag == NULL)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "The process is not named");
    *ret = (struct wire_which){.pid = (uint32_t)pid, .tag = tag};
    return rv;
}

/* --- start and connect --- */

/* Follows a process; `first` as of wire_request_process_attach. */
static void process_follow(struct api_call *call, const struct wire_which *which, uint64_t first)
{
    struct buf request = {0};
    const struct feed_params feed = {.kind = EVENTS_OF_PROCESS,
                                     .writer = &tell_process,
                                     .not_found = ERROR_PROCESS_NOT_FOUND,
                                     .raw = true};
    wire_request_process_attach(&request, which, first, 0);
    api_feed_start(call, &feed, &request);
}

static void process_was_started(struct api_call *call, const struct wire_frame *frame,
                                const struct error *err)
{
    struct wire_process process;
    if (frame == NULL || !wire_reply_process(frame, &process)) {
        api_step_failed(call, err);
        return;
    }
    const struct wire_which which = {.id = process.id};
    process_follow(call, &which, 0);
}

static uint32_t process_deadline(struct api_call *call)
{
    const struct http_str *header = http_header(call->req, "Connect-Timeout-Ms");
    int64_t ms;
    if (header == NULL || num_parse(header->data, 0, UINT32_MAX, &ms) < 0)
        return 0;
    return (uint32_t)ms;
}

struct process_args {
    struct wire_start_params params;
    char **args, **env; /* owned */
};

static int process_parse_pty(struct api_call *call, struct wire_start_params *p, struct error *err)
{
    const json *pty = NULL, *size = NULL;
    int rv = json_get_object(call->body, "pty", &pty, err);
    if (rv < 0 || pty == NULL)
        return rv;
    p->has_terminal = true;
    p->run.has_stdin = false;
    rv = json_get_object(pty, "size", &size, err);
    return rv < 0 ? rv : process_parse_size(size, &p->columns, &p->rows, err);
}

static int process_read_start(struct api_call *call, struct process_args *a, struct error *err)
{
    struct wire_start_params *p = &a->params;
    const json *process = NULL;
    int rv = json_get_object(call->body, "process", &process, err);
    if (rv == 0 && process == NULL)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'process' is required");
    if (rv == 0)
        rv = json_need_str(process, "cmd", &p->run.command, err);
    if (rv == 0 && p->run.command[0] == '\0')
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'cmd' is empty");
    if (rv == 0)
        rv = json_get_str(process, "cwd", "", &p->run.cwd, err);
    if (rv == 0)
        rv = api_get_list(process, "args", &a->args, err);
    if (rv == 0)
        rv = api_environment(call, process, "envs", &a->env, err);
    if (rv == 0)
        rv = json_get_str(call->body, "tag", "", &p->tag, err);
    if (rv == 0)
        rv = json_get_bool(call->body, "stdin", true, &p->run.has_stdin, err);
    if (rv == 0)
        rv = process_parse_pty(call, p, err);
    if (rv == 0 && strlen(p->tag) > WIRE_MAX_TAG)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'tag' exceeds %u bytes", WIRE_MAX_TAG);
    p->run.args = a->args;
    p->run.env = a->env;
    return rv;
}

void e2b_process_start(struct api_call *call)
{
    struct error err;
    struct process_args a = {0};
    struct buf request = {0};
    if (!e2b_take_message(call))
        return;
    int rv = process_read_start(call, &a, &err);
    if (rv == 0) {
        a.params.run.user = e2b_user(call);
        a.params.run.timeout_ms = process_deadline(call);
        wire_request_start(&request, &a.params);
        if (request.len > WIRE_MAX_REQUEST)
            rv = error_set(&err, ERROR_BODY_TOO_LARGE, "The command exceeds %u bytes",
                           WIRE_MAX_REQUEST);
    }
    free(a.args);
    free(a.env);
    if (rv < 0)
        api_fail(call, &err);
    else
        api_step(call, &request, ERROR_PROCESS_NOT_FOUND, process_was_started);
}

void e2b_process_connect(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    if (!e2b_take_message(call))
        return;
    if (e2b_which(call->body, &which, &err) < 0)
        api_fail(call, &err);
    else
        process_follow(call, &which, WIRE_SEQ_NOW);
}

/* --- list --- */

static void process_write(struct jsonw *w, const struct wire_process *p)
{
    struct span word = {0};
    struct cursor list = p->argv;
    bool shell = (p->flags & WIRE_EXEC_SHELL) != 0;
    jsonw_object(w);
    jsonw_key_int(w, "pid", p->pid);
    if (p->tag.len > 0) {
        jsonw_key(w, "tag");
        jsonw_strn(w, p->tag.data, p->tag.len);
    }
    jsonw_key(w, "config");
    jsonw_object(w);
    (void)wire_next_word(&list, &word);
    jsonw_key(w, "cmd");
    jsonw_strn(w, word.data, word.len);
    jsonw_key(w, "args");
    jsonw_array(w);
    while (!shell && wire_next_word(&list, &word))
        jsonw_strn(w, word.data, word.len);
    jsonw_array_end(w);
    jsonw_key(w, "envs"); /* the agent does not keep them */
    jsonw_object(w);
    jsonw_object_end(w);
    jsonw_key(w, "cwd");
    jsonw_strn(w, p->cwd.data, p->cwd.len);
    jsonw_object_end(w);
    jsonw_object_end(w);
}

static int process_take_one(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process;
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    if (!process.ended)
        process_write(&a->w, &process);
    return 0;
}

void e2b_process_list(struct api_call *call)
{
    struct buf request = {0};
    wire_request_process_list(&request);
    api_ask(call, &(struct ask_params){.take = process_take_one, .array = "processes"}, &request);
}

/* --- what is said to a process --- */

/* Encodes what is said, or fills `err`. */
static void process_tell(struct api_call *call,
                         int (*encode)(struct api_call *call, const struct wire_which *which,
                                       struct buf *request, struct error *err))
{
    struct error err;
    struct wire_which which;
    struct buf request = {0};
    int rv = e2b_which(call->body, &which, &err);
    if (rv == 0)
        rv = encode(call, &which, &request, &err);
    if (rv == 0) {
        api_step(call, &request, ERROR_PROCESS_NOT_FOUND, e2b_step_done);
        return;
    }
    buf_done(&request);
    api_fail(call, &err);
}

int e2b_input(const json *from, struct buf *ret, struct error *err)
{
    const json *input = NULL;
    const char *text = NULL;
    int rv = json_get_object(from, "input", &input, err);
    if (rv == 0 && input == NULL)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'input' is required");
    if (rv == 0)
        rv = json_get_str(input, "stdin", NULL, &text, err);
    if (rv == 0 && text == NULL)
        rv = json_need_str(input, "pty", &text, err);
    if (rv < 0)
        return rv;
    cleanup_buf struct buf padded = {0};
    (void)buf_append_str(&padded, text);
    while (padded.len % 4 != 0) /* which this encoding of bytes may leave out */
        (void)buf_append_str(&padded, "=");
    if (base64_decode(ret, (const char *)padded.data, padded.len) < 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "The input is not base64");
    return 0;
}

static int process_encode_input(struct api_call *call, const struct wire_which *which,
                                struct buf *request, struct error *err)
{
    cleanup_buf struct buf bytes = {0};
    int rv = e2b_input(call->body, &bytes, err);
    if (rv == 0)
        wire_request_process_input(request, which, 0, bytes.data, bytes.len);
    return rv;
}

void e2b_process_input(struct api_call *call)
{
    process_tell(call, process_encode_input);
}

static int process_encode_close(struct api_call *call, const struct wire_which *which,
                                struct buf *request, struct error *err)
{
    wire_request_process_input(request, which, WIRE_INPUT_EOF, NULL, 0);
    return 0;
}

void e2b_process_close_stdin(struct api_call *call)
{
    process_tell(call, process_encode_close);
}

static int process_encode_size(struct api_call *call, const struct wire_which *which,
                               struct buf *request, struct error *err)
{
    const json *pty = NULL, *size = NULL;
    uint32_t columns = 0, rows = 0;
    int rv = json_get_object(call->body, "pty", &pty, err);
    if (rv == 0)
        rv = json_get_object(pty, "size", &size, err);
    if (rv == 0 && size == NULL)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'pty.size' is required");
    if (rv == 0)
        rv = process_parse_size(size, &columns, &rows, err);
    if (rv == 0)
        wire_request_process_resize(request, which, columns, rows);
    return rv;
}

void e2b_process_update(struct api_call *call)
{
    process_tell(call, process_encode_size);
}

/* By name or by number, as enums are. */
static int process_encode_signal(struct api_call *call, const struct wire_which *which,
                                 struct buf *request, struct error *err)
{
    const json *field = cJSON_GetObjectItemCaseSensitive(call->body, "signal");
    uint32_t number = 0;
    if (cJSON_IsNumber(field))
        number = field->valueint == SIGKILL ? SIGKILL : field->valueint == SIGTERM ? SIGTERM : 0;
    else if (cJSON_IsString(field) && strcmp(field->valuestring, "SIGNAL_SIGKILL") == 0)
        number = SIGKILL;
    else if (cJSON_IsString(field) && strcmp(field->valuestring, "SIGNAL_SIGTERM") == 0)
        number = SIGTERM;
    if (number == 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'signal' names no signal");
    wire_request_process_signal(request, which, number, WIRE_SCOPE_GROUP);
    return 0;
}

void e2b_process_signal(struct api_call *call)
{
    process_tell(call, process_encode_signal);
}
