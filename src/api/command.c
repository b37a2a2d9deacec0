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
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/feed.h"
#include "api/op.h"
#include "sandbox/oom.h"
#include "wire/reply.h"
#include "wire/request.h"

#define COMMAND_TIMEOUT_MS 30000 /* when the client names none */
#define COMMAND_GRACE_MS   5000  /* the agent's own time-out comes first */

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
};

static void command_frame(struct api_op *op, const struct wire_frame *frame);
static void command_release(struct api_op *op);

static const struct api_op_ops command_ops = {.frame = command_frame, .release = command_release};

struct command_args {
    const char *command, *cwd;
    char **args, **env;
    int64_t timeout_ms;
};

static int parse_command(struct api_call *call, struct command_args *a, struct error *err)
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
        rv = json_get_str_list(call->body, "args", &a->args, err);
    if (rv == 0)
        rv = api_check_list(a->args, "args", err);
    if (rv == 0)
        rv = json_get_env(call->body, "environment", &a->env, err);
    if (rv == 0)
        rv = api_check_list(a->env, "environment", err);
    if (rv == 0 && a->timeout_ms == 0)
        a->timeout_ms = MIN(max_ms, COMMAND_TIMEOUT_MS);
    return rv;
}

static void encode_command(struct buf *request, const struct command_args *a)
{
    const struct wire_exec_params params = {.command = a->command,
                                            .args = a->args,
                                            .cwd = a->cwd,
                                            .env = a->env,
                                            .timeout_ms = (uint32_t)a->timeout_ms};
    wire_request_exec(request, &params);
}

static void command_collect(struct api_call *call, struct buf *request, uint64_t timeout_ms)
{
    struct command *cmd = calloc(1, sizeof(*cmd));
    if (cmd == NULL) {
        buf_done(request);
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    cmd->limit = (size_t)call->api->config->max_output;
    sandbox_oom_mark(&cmd->oom, call->sandbox);
    api_op_start(&cmd->op, call, &command_ops, request, timeout_ms);
}

void api_command_run(struct api_call *call)
{
    struct error err;
    struct command_args args = {0};
    struct buf request = {0};
    int rv = parse_command(call, &args, &err);
    if (rv == 0) {
        encode_command(&request, &args);
        if (request.len > WIRE_MAX_REQUEST)
            rv = error_set(&err, ERROR_BODY_TOO_LARGE, "The command exceeds %u bytes",
                           WIRE_MAX_REQUEST);
    }
    free(args.args);
    free(args.env);
    if (rv < 0) {
        buf_done(&request);
        api_fail(call, &err);
        return;
    }
    uint64_t timeout_ms = (uint64_t)args.timeout_ms + COMMAND_GRACE_MS;
    if (!api_query_is_true(call, "stream")) {
        command_collect(call, &request, timeout_ms);
        return;
    }
    const struct feed_params feed = {
        .kind = EVENTS_OF_COMMAND, .writer = &event_sse_command, .timeout_ms = timeout_ms};
    api_feed_start(call, &feed, &request);
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

static void command_timed_out(struct api_call *call, struct command *cmd, const struct wire_exit *e)
{
    struct error err;
    cleanup_buf struct buf details = {0};
    struct jsonw w = {.out = &details};
    jsonw_object(&w);
    write_capture(&w, "stdout", &cmd->out);
    write_capture(&w, "stderr", &cmd->err);
    jsonw_key_int(&w, "duration_ms", exit_duration_ms(e));
    jsonw_object_end(&w);
    error_set(&err, ERROR_TIMEOUT, "Command execution timed out after %" PRId64 " ms",
              exit_duration_ms(e));
    api_fail_details(call, &err, buf_cstr(&details));
}

static void command_reply(struct api_call *call, struct command *cmd, const struct wire_exit *e)
{
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    jsonw_object(&w);
    write_capture(&w, "stdout", &cmd->out);
    write_capture(&w, "stderr", &cmd->err);
    jsonw_key_int(&w, "exit_code", e->code);
    jsonw_key_int(&w, "duration_ms", exit_duration_ms(e));
    jsonw_key_bool(&w, "success", e->code == 0);
    if (e->cause == WIRE_CAUSE_MEMORY) {
        jsonw_key_str(&w, "error", WIRE_NO_MEMORY_TEXT);
    } else if (e->signal != 0) {
        char text[64];
        (void)snprintf(text, sizeof(text), "The command was ended by signal %u", e->signal);
        jsonw_key_str(&w, "error", text);
    }
    jsonw_object_end(&w);
    api_reply(call, 200, &body);
}

static void command_exit(struct command *cmd, const struct wire_frame *frame)
{
    struct wire_exit e;
    if (!wire_reply_exit(frame, &e)) {
        api_op_bad_frame(&cmd->op);
        return;
    }
    struct api_call *call = api_op_close(&cmd->op);
    if (call == NULL)
        return;
    sandbox_oom_judge(&cmd->oom, call->sandbox, &e);
    if (e.timed_out)
        command_timed_out(call, cmd, &e);
    else
        command_reply(call, cmd, &e);
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
        command_exit(cmd, frame);
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
    free(cmd);
}
