/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - commands: in the foreground with one answer or as a stream, in the background with a
 * number, by which they are listed, followed and ended.
 *
 * One in the foreground ends with its client. One in the background is a process of the sandbox; so
 * the list has every process without a terminal, whoever started it.
 */
#include "api/command.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "api/feed.h"
#include "api/process.h"
#include "api/step.h"
#include "gravix/internal.h"
#include "stream/describe.h"

const char *gravix_directory(struct api_call *call, const char *cwd, struct error *err)
{
    return cwd[0] != '\0' ? api_path(call, cwd, err) : GRAVIX_HOME;
}

/* --- run --- */

void gravix_command_reply(struct api_call *call, struct command *cmd)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    command_write_output(&w, cmd);
    command_write_exit(&w, cmd);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

static int command_take_started(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process;
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    jsonw_key_int(&a->w, "pid", process.pid);
    return 1;
}

static void command_background(struct api_call *call, const struct wire_exec_params *params)
{
    struct buf request = {0};
    wire_request_start(&request, &(struct wire_start_params){.run = *params});
    if (request.len > WIRE_MAX_REQUEST) {
        buf_done(&request);
        api_fail_code(call, ERROR_BODY_TOO_LARGE, "The command is too long");
        return;
    }
    api_ask(call, &(struct ask_params){.take = command_take_started}, &request);
}

static int command_read(struct api_call *call, bool *background, struct command_args *a,
                        struct error *err)
{
    int rv = json_get_bool(call->body, "background", false, background, err);
    if (rv == 0)
        rv = command_parse(call, *background ? 0 : GRAVIX_TIMEOUT_S * 1000, a, err);
    if (rv == 0)
        a->cwd = gravix_directory(call, a->cwd, err);
    return rv == 0 && a->cwd == NULL ? -EINVAL : rv;
}

void gravix_command_run(struct api_call *call)
{
    struct error err;
    struct command_args args = {0};
    bool background = false;
    if (command_read(call, &background, &args, &err) < 0) {
        command_args_done(&args);
        api_fail(call, &err);
        return;
    }
    const struct wire_exec_params params = command_exec_params(&args);
    if (background)
        command_background(call, &params);
    else
        command_run(call, &params, gravix_command_reply);
    command_args_done(&args);
}

/* --- list, get, kill --- */

/* What is known from the start of a process on. */
static void command_write_start(struct jsonw *w, const struct wire_process *p)
{
    struct span word = {"", 0};
    struct cursor list = p->argv;
    (void)wire_next_word(&list, &word);
    jsonw_key_int(w, "pid", p->pid);
    describe_span(w, "command", word);
    jsonw_key(w, "args");
    jsonw_array(w);
    while (wire_next_word(&list, &word))
        jsonw_strn(w, word.data, word.len);
    jsonw_array_end(w);
    describe_span(w, "working_dir", p->cwd);
    jsonw_key_bool(w, "background", true);
    jsonw_key_time(w, "started_at", p->started_ms);
}

static void command_write_end(struct jsonw *w, const struct wire_process *p)
{
    const struct wire_exit *e = &p->exit;
    jsonw_key_str(w, "status", describe_status(p));
    if (!p->ended)
        return;
    jsonw_key_int(w, "exit_code", e->code);
    jsonw_key_int(w, "duration_ms", (int64_t)(e->duration_us / 1000));
    jsonw_key_time(w, "ended_at", p->started_ms + (int64_t)(e->duration_us / 1000));
    jsonw_key_bool(w, "timed_out", e->timed_out);
}

static int command_take_listed(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process;
    if (wire_reply_is(frame, WIRE_END)) {
        jsonw_array_end(&a->w);
        return 1;
    }
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    if ((process.flags & WIRE_PROCESS_PTY) != 0)
        return 0;
    jsonw_object(&a->w);
    command_write_start(&a->w, &process);
    command_write_end(&a->w, &process);
    jsonw_object_end(&a->w);
    return 0;
}

void gravix_command_list(struct api_call *call)
{
    struct buf request = {0};
    wire_request_process_list(&request);
    api_ask(call, &(struct ask_params){.take = command_take_listed, .array = "commands"}, &request);
}

static int command_take_info(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process;
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    command_write_start(&a->w, &process);
    command_write_end(&a->w, &process);
    return 1;
}

/* As command_take_info, but of a process that is about to end. */
static int command_take_ended(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process = {.ended = true};
    struct wire_output output;
    uint64_t next;
    if (wire_reply_process_exit(frame, &process.exit)) {
        process.started_ms = a->p.number;
        command_write_end(&a->w, &process);
        return 1;
    }
    if (wire_reply_output(frame, &output) || wire_reply_gap(frame, &next))
        return 0;
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    a->p.number = process.started_ms;
    command_write_start(&a->w, &process);
    return 0;
}

/* An attachment says first what it is attached to. */
static void command_look(struct api_call *call, const struct wire_which *which,
                         int (*take)(struct ask *a, const struct wire_frame *frame))
{
    struct buf request = {0};
    wire_request_process_attach(&request, which, WIRE_SEQ_NOW, 0);
    api_ask(call, &(struct ask_params){.take = take, .not_found = ERROR_PROCESS_NOT_FOUND},
            &request);
}

void gravix_command_get(struct api_call *call)
{
    struct wire_which which;
    if (process_which(call, &which))
        command_look(call, &which, command_take_info);
}

static const char *command_signal(struct api_call *call)
{
    const char *name = http_query(call->req, "signal");
    return name != NULL ? name : "KILL";
}

/* What has ended already only says how. */
static void command_signalled(struct api_call *call, const struct wire_frame *frame,
                              const struct error *err)
{
    struct wire_which which;
    bool ended = err != NULL && err->code == ERROR_PROCESS_NOT_FOUND;
    if (!ended && (frame == NULL || !wire_reply_is(frame, WIRE_OK)))
        api_step_failed(call, err);
    else if (process_which(call, &which))
        command_look(call, &which,
                     process_signal_number(command_signal(call)) == SIGKILL ? command_take_ended
                                                                            : command_take_info);
}

void gravix_command_kill(struct api_call *call)
{
    struct wire_which which;
    struct buf request = {0};
    uint32_t number = process_signal_number(command_signal(call));
    if (number == 0) {
        api_fail_code(call, ERROR_INVALID_ARGUMENT, "Query parameter 'signal' names no signal");
        return;
    }
    if (!process_which(call, &which))
        return;
    wire_request_process_signal(&request, &which, number,
                                number == SIGKILL ? WIRE_SCOPE_TREE : WIRE_SCOPE_GROUP);
    api_step(call, &request, ERROR_PROCESS_NOT_FOUND, command_signalled);
}

void gravix_command_stream(struct api_call *call)
{
    struct wire_which which;
    struct buf request = {0};
    const struct feed_params feed = {.kind = EVENTS_OF_PROCESS,
                                     .writer = &event_sse_command,
                                     .not_found = ERROR_PROCESS_NOT_FOUND};
    if (!process_which(call, &which))
        return;
    wire_request_process_attach(&request, &which, 0, 0);
    api_feed_start(call, &feed, &request);
}
