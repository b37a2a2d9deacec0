/* SPDX-License-Identifier: Apache-2.0 */
/* pty.c - terminals as sessions: processes of the sandbox that have one, named by their ids. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/feed.h"
#include "api/process.h"
#include "api/ties.h"
#include "base/base64.h"
#include "base/num.h"
#include "gravix/internal.h"
#include "stream/describe.h"

#define PTY_SHELL "/bin/bash"

/* --- what a session is --- */

static void pty_write(struct jsonw *w, const char *runtime, const struct wire_process *p)
{
    char id[24];
    struct span word = {"", 0};
    struct cursor list = p->argv;
    (void)wire_next_word(&list, &word);
    (void)snprintf(id, sizeof(id), "%llu", (unsigned long long)p->id);
    jsonw_key_str(w, "session_id", id);
    jsonw_key_str(w, "runtime_id", runtime);
    jsonw_key_int(w, "pid", p->pid);
    describe_span(w, "shell", word);
    jsonw_key(w, "args");
    jsonw_array(w);
    while (wire_next_word(&list, &word))
        jsonw_strn(w, word.data, word.len);
    jsonw_array_end(w);
    describe_span(w, "working_dir", p->cwd);
    jsonw_key_int(w, "cols", p->columns);
    jsonw_key_int(w, "rows", p->rows);
    jsonw_key_str(w, "status", p->ended ? "exited" : "running");
    if (p->ended)
        jsonw_key_int(w, "exit_code", p->exit.code);
    jsonw_key_time(w, "created_at", p->started_ms);
}

static int pty_take(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process;
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    pty_write(&a->w, a->op.call->params[0], &process);
    return 1;
}

static int pty_take_listed(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process;
    if (wire_reply_is(frame, WIRE_END)) {
        jsonw_array_end(&a->w);
        return 1;
    }
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    if ((process.flags & WIRE_PROCESS_PTY) == 0)
        return 0;
    jsonw_object(&a->w);
    pty_write(&a->w, a->op.call->params[0], &process);
    jsonw_object_end(&a->w);
    return 0;
}

/* The `:session` of the route. False: the request has its answer. */
static bool pty_which(struct api_call *call, struct wire_which *ret)
{
    int64_t id;
    if (num_parse(call->params[1], 1, INT64_MAX, &id) < 0) {
        api_fail_code(call, ERROR_PROCESS_NOT_FOUND, "Session not found");
        return false;
    }
    *ret = (struct wire_which){.id = (uint64_t)id};
    return true;
}

static void pty_ask(struct api_call *call,
                    int (*take)(struct ask *a, const struct wire_frame *frame), struct buf *request)
{
    api_ask(call, &(struct ask_params){.take = take, .not_found = ERROR_PROCESS_NOT_FOUND},
            request);
}

/* --- create, list, get, kill --- */

static int pty_parse(struct api_call *call, struct wire_start_params *p, char ***args, char ***env,
                     struct error *err)
{
    int rv = json_get_str(call->body, "shell", PTY_SHELL, &p->run.command, err);
    if (rv == 0 && p->run.command[0] == '\0')
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'shell' is empty");
    if (rv == 0)
        rv = json_get_str(call->body, "working_dir", "", &p->run.cwd, err);
    if (rv == 0)
        rv = process_parse_size(call->body, &p->columns, &p->rows, err);
    if (rv == 0)
        rv = api_get_list(call->body, "args", args, err);
    process_add_terminal_type(call->body);
    if (rv == 0)
        rv = api_environment(call, call->body, "environment", env, err);
    if (rv < 0)
        return rv;
    p->has_terminal = true;
    p->run.args = *args;
    p->run.env = *env;
    p->run.cwd = gravix_directory(call, p->run.cwd, err);
    return p->run.cwd != NULL ? 0 : -EINVAL;
}

void gravix_pty_create(struct api_call *call)
{
    struct error err;
    struct wire_start_params params = {0};
    struct buf request = {0};
    cleanup_free char **args = NULL, **env = NULL;
    int rv = pty_parse(call, &params, &args, &env, &err);
    if (rv == 0)
        wire_request_start(&request, &params);
    if (rv == 0 && request.len > WIRE_MAX_REQUEST)
        rv = error_set(&err, ERROR_BODY_TOO_LARGE, "The command is too long");
    if (rv == 0) {
        api_ask(call, &(struct ask_params){.status = 201, .take = pty_take}, &request);
        return;
    }
    buf_done(&request);
    api_fail(call, &err);
}

void gravix_pty_list(struct api_call *call)
{
    struct buf request = {0};
    wire_request_process_list(&request);
    api_ask(call, &(struct ask_params){.take = pty_take_listed, .array = "sessions"}, &request);
}

void gravix_pty_get(struct api_call *call)
{
    struct wire_which which;
    struct buf request = {0};
    if (!pty_which(call, &which))
        return;
    wire_request_process_attach(&request, &which, WIRE_SEQ_NOW, 0);
    pty_ask(call, pty_take, &request);
}

void gravix_pty_kill(struct api_call *call)
{
    struct wire_which which;
    struct buf request = {0};
    if (!pty_which(call, &which))
        return;
    wire_request_process_forget(&request, &which);
    pty_ask(call, gravix_take_success, &request);
}

/* --- input, size, signal, output --- */

static int pty_take_written(struct ask *a, const struct wire_frame *frame)
{
    int rv = gravix_take_success(a, frame);
    if (rv > 0)
        jsonw_key_int(&a->w, "bytes_written", a->p.number);
    return rv;
}

static int pty_parse_input(struct api_call *call, struct buf *data, struct error *err)
{
    const char *text = NULL;
    int rv = json_get_str(call->body, "data_base64", NULL, &text, err);
    if (rv < 0)
        return rv;
    if (text == NULL)
        return json_need_bytes(call->body, "data", data, err);
    if (base64_decode(data, text, strlen(text)) < 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'data_base64' is not base64");
    return 0;
}

void gravix_pty_input(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    struct buf request = {0};
    cleanup_buf struct buf data = {0};
    if (!pty_which(call, &which))
        return;
    int rv = pty_parse_input(call, &data, &err);
    if (rv == 0 && data.len > API_MAX_BYTES)
        rv = error_set(&err, ERROR_BODY_TOO_LARGE, "The input exceeds %u bytes", API_MAX_BYTES);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_process_input(&request, &which, 0, data.data, data.len);
    const struct ask_params ask = {.take = pty_take_written,
                                   .not_found = ERROR_PROCESS_NOT_FOUND,
                                   .number = (int64_t)data.len};
    api_ask(call, &ask, &request);
}

void gravix_pty_resize(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    struct buf request = {0};
    uint32_t columns = 0, rows = 0;
    if (!pty_which(call, &which))
        return;
    if (process_parse_size(call->body, &columns, &rows, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_process_resize(&request, &which, columns, rows);
    pty_ask(call, gravix_take_success, &request);
}

void gravix_pty_signal(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    struct buf request = {0};
    const char *name = NULL;
    if (!pty_which(call, &which))
        return;
    int rv = json_need_str(call->body, "signal", &name, &err);
    uint32_t number = rv == 0 ? process_signal_number(name) : 0;
    if (rv == 0 && number == 0)
        rv = error_set(&err, ERROR_INVALID_ARGUMENT, "Field 'signal' names no signal");
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_process_signal(&request, &which, number, WIRE_SCOPE_GROUP);
    pty_ask(call, gravix_take_success, &request);
}

void gravix_pty_stream(struct api_call *call)
{
    struct wire_which which;
    struct buf request = {0};
    const struct feed_params feed = {.kind = EVENTS_OF_PROCESS,
                                     .writer = &gravix_speak_pty,
                                     .not_found = ERROR_PROCESS_NOT_FOUND,
                                     .raw = true};
    if (!pty_which(call, &which))
        return;
    wire_request_process_attach(&request, &which, 0, 0);
    api_feed_start(call, &feed, &request);
}
