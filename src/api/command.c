/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - commands/run: a command line or an argument vector, its output and exit code.
 *
 * The happy path is: EXEC, STARTED, output into the two captures, EXIT, the answer. A command that
 * fails is a success of the route. Possible failure modes are: the agent's time-out ends the
 * command (408 with the output so far); a command writes more than the limit (the rest is read and
 * counted, never kept, so that it does not block); the agent is silent beyond its own time-out by
 * COMMAND_GRACE_MS (the call's deadline).
 *
 * With ?stream=true the answer is a feed of the same EXEC: nothing is collected, no limit applies,
 * and a time-out is part of the last event.
 */
#include "api/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/feed.h"
#include "api/op.h"
#include "api/ties.h"
#include "sandbox/oom.h"

#define COMMAND_TIMEOUT_MS 30000 /* when the client names none */

/* Output, kept up to a limit; bytes beyond it are only counted. */
struct capture {
    struct buf bytes;
    uint64_t dropped;
};

struct command {
    struct api_op op;
    struct capture out, err;
    size_t limit; /* bytes kept of each stream */
    struct sandbox_oom oom;
    struct buf input; /* for its stdin */
    bool has_input;
    struct wire_exit exit;
    void (*reply)(struct api_call *call, struct command *cmd);
};

static void command_ready(struct api_op *op);
static void command_frame(struct api_op *op, const struct wire_frame *frame);
static void command_release(struct api_op *op);

static const struct api_op_ops command_ops = {
    .ready = command_ready, .frame = command_frame, .release = command_release};

int command_parse(struct api_call *call, int64_t default_ms, struct command_args *a,
                  struct error *err)
{
    int64_t max_ms = api_run_time_max(call) * 1000;
    int rv = json_need_str(call->body, "command", &a->command, err);
    if (rv == 0 && a->command[0] == '\0')
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'command' is empty");
    if (rv == 0)
        rv = json_get_str(call->body, "working_dir", "", &a->cwd, err);
    if (rv == 0)
        rv = json_get_int(call->body, "timeout", 0, 0, max_ms, &a->timeout_ms, err);
    if (rv == 0)
        rv = api_get_list(call->body, "args", &a->args, err);
    if (rv == 0)
        rv = api_environment(call, call->body, "environment", &a->env, err);
    if (rv == 0 && a->timeout_ms == 0)
        a->timeout_ms = MIN(max_ms, default_ms);
    return rv;
}

void command_args_done(struct command_args *a)
{
    free(a->args);
    free(a->env);
    a->args = a->env = NULL;
}

struct wire_exec_params command_exec_params(const struct command_args *a)
{
    return (struct wire_exec_params){.command = a->command,
                                     .args = a->args,
                                     .cwd = a->cwd,
                                     .env = a->env,
                                     .timeout_ms = (uint32_t)a->timeout_ms};
}

void command_start(struct api_call *call, struct buf *request, struct buf *input,
                   uint64_t timeout_ms, void (*reply)(struct api_call *call, struct command *cmd))
{
    struct command *cmd = calloc(1, sizeof(*cmd));
    if (cmd == NULL) {
        buf_done(request);
        if (input != NULL)
            buf_done(input);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    cmd->limit = (size_t)call->api->config->max_output;
    sandbox_oom_mark(&cmd->oom, call->sandbox);
    cmd->has_input = input != NULL;
    cmd->reply = reply;
    if (input != NULL) {
        cmd->input = *input;
        *input = (struct buf){0};
    }
    api_op_start(&cmd->op, call, &command_ops, request, timeout_ms);
}

static void command_ready(struct api_op *op)
{
    struct command *cmd = container_of(op, struct command, op);
    if (!cmd->has_input)
        return;
    for (size_t sent = 0; sent < cmd->input.len; sent += WIRE_CHUNK) {
        size_t n = MIN(cmd->input.len - sent, (size_t)WIRE_CHUNK);
        (void)agent_call_send(&op->agent, WIRE_STDIN, cmd->input.data + sent, n);
    }
    (void)agent_call_send(&op->agent, WIRE_STDIN_EOF, NULL, 0);
}

void command_run(struct api_call *call, const struct wire_exec_params *params,
                 void (*reply)(struct api_call *call, struct command *cmd))
{
    struct error err;
    struct buf request = {0};
    uint64_t timeout_ms = (uint64_t)params->timeout_ms + COMMAND_GRACE_MS;
    wire_request_exec(&request, params);
    if (request.len > WIRE_MAX_REQUEST) {
        buf_done(&request);
        error_set(&err, ERROR_BODY_TOO_LARGE, "The command exceeds %u bytes", WIRE_MAX_REQUEST);
        api_fail(call, &err);
        return;
    }
    if (!api_query_is_true(call, "stream")) {
        command_start(call, &request, NULL, timeout_ms, reply);
        return;
    }
    const struct feed_params feed = {
        .kind = EVENTS_OF_COMMAND, .writer = &event_sse_command, .timeout_ms = timeout_ms};
    api_feed_start(call, &feed, &request);
}

static void command_reply(struct api_call *call, struct command *cmd);

void api_command_run(struct api_call *call)
{
    struct error err;
    struct command_args args = {0};
    if (command_parse(call, COMMAND_TIMEOUT_MS, &args, &err) < 0) {
        api_fail(call, &err);
    } else {
        const struct wire_exec_params params = command_exec_params(&args);
        command_run(call, &params, command_reply);
    }
    command_args_done(&args);
}

static void capture_add(struct capture *c, size_t limit, const struct wire_frame *frame)
{
    size_t take = MIN(frame->len, limit - c->bytes.len);
    if (buf_append(&c->bytes, frame->payload, take) < 0)
        take = 0;
    c->dropped += frame->len - take;
}

/* Writes the output for the client, with a last line when some of it is missing. */
static void write_capture(struct jsonw *w, const char *key, struct capture *c)
{
    if (c->dropped > 0)
        (void)buf_printf(&c->bytes, "\n[output truncated: %" PRIu64 " more bytes]\n", c->dropped);
    jsonw_key(w, key);
    jsonw_strn(w, (const char *)c->bytes.data, c->bytes.len);
}

static int64_t exit_duration_ms(const struct wire_exit *e)
{
    return (int64_t)(e->duration_us / 1000);
}

const struct wire_exit *command_exit(const struct command *cmd)
{
    return &cmd->exit;
}

void command_write_output(struct jsonw *w, struct command *cmd)
{
    write_capture(w, "stdout", &cmd->out);
    write_capture(w, "stderr", &cmd->err);
}

static void command_timed_out(struct api_call *call, struct command *cmd)
{
    struct error err;
    cleanup_buf struct buf details = {0};
    struct jsonw w = {.out = &details};
    jsonw_object(&w);
    command_write_output(&w, cmd);
    jsonw_key_int(&w, "duration_ms", exit_duration_ms(&cmd->exit));
    jsonw_object_end(&w);
    error_set(&err, ERROR_TIMEOUT, "Command execution timed out after %" PRId64 " ms",
              exit_duration_ms(&cmd->exit));
    api_fail_details(call, &err, buf_cstr(&details));
}

void command_write_exit(struct jsonw *w, struct command *cmd)
{
    const struct wire_exit *e = &cmd->exit;
    jsonw_key_int(w, "exit_code", e->code);
    jsonw_key_int(w, "duration_ms", exit_duration_ms(e));
    jsonw_key_bool(w, "success", e->code == 0);
    if (e->timed_out) {
        jsonw_key_bool(w, "timed_out", true);
        jsonw_key_str(w, "error", "The command was ended at its time-out");
    } else if (e->cause == WIRE_CAUSE_MEMORY) {
        jsonw_key_str(w, "error", WIRE_NO_MEMORY_TEXT);
    } else if (e->signal != 0) {
        char text[64];
        (void)snprintf(text, sizeof(text), "The command was ended by signal %u", e->signal);
        jsonw_key_str(w, "error", text);
    }
}

static void command_reply(struct api_call *call, struct command *cmd)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    if (cmd->exit.timed_out) {
        command_timed_out(call, cmd);
        return;
    }
    jsonw_object(&w);
    command_write_output(&w, cmd);
    command_write_exit(&w, cmd);
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

static void command_ended(struct command *cmd, const struct wire_frame *frame)
{
    if (!wire_reply_exit(frame, &cmd->exit)) {
        api_op_bad_frame(&cmd->op);
        return;
    }
    struct api_call *call = api_op_close(&cmd->op);
    if (call == NULL)
        return;
    sandbox_oom_judge(&cmd->oom, call->sandbox, &cmd->exit);
    cmd->reply(call, cmd);
}

static void command_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct command *cmd = container_of(op, struct command, op);
    switch (frame->type) {
    case WIRE_STARTED:
        break;
    case WIRE_STDOUT:
        capture_add(&cmd->out, cmd->limit, frame);
        break;
    case WIRE_STDERR:
        capture_add(&cmd->err, cmd->limit, frame);
        break;
    case WIRE_EXIT:
        command_ended(cmd, frame);
        break;
    default:
        api_op_bad_frame(op);
        break;
    }
}

static void command_release(struct api_op *op)
{
    struct command *cmd = container_of(op, struct command, op);
    buf_done(&cmd->out.bytes);
    buf_done(&cmd->err.bytes);
    if (cmd->input.data != NULL)
        explicit_bzero(cmd->input.data, cmd->input.cap);
    buf_done(&cmd->input);
    free(cmd);
}
