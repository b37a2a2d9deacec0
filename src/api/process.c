/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - processes that live with their sandbox: start, list, look at, feed, signal, end.
 *
 * The table of them is the agent's, inside the sandbox; the server keeps nothing, so a restart of
 * it changes nothing. A terminal is a process like any other: its routes have names of their own
 * and the same handlers. Each handler but the stream is one operation with one answer.
 */
#include "api/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "api/ask.h"
#include "api/feed.h"
#include "api/ties.h"
#include "base/base64.h"
#include "base/num.h"
#include "stream/describe.h"
#include "wire/reply.h"

#define PROCESS_TIMEOUT_MS 60000 /* of one operation; input waits until the process reads */
#define TERMINAL_COLUMNS   80
#define TERMINAL_ROWS      24
#define TERMINAL_MAX       65535 /* columns and rows */
#define TERMINAL_SHELL     "/bin/bash"
#define TERMINAL_TYPE      "xterm-256color"

/* --- answers --- */

static int process_take(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process;
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    describe_process(&a->w, &process);
    return 1;
}

/* `flag`: only those with a terminal. */
static int process_take_listed(struct ask *a, const struct wire_frame *frame)
{
    struct wire_process process;
    if (!wire_reply_process(frame, &process))
        return -EPROTO;
    if (a->p.flag && (process.flags & WIRE_PROCESS_PTY) == 0)
        return 0;
    jsonw_object(&a->w);
    describe_process(&a->w, &process);
    jsonw_object_end(&a->w);
    return 0;
}

static void process_ask(struct api_call *call,
                        int (*take)(struct ask *a, const struct wire_frame *frame),
                        const char *text, struct buf *request)
{
    const struct ask_params p = {.take = take, .text = text, .not_found = ERROR_PROCESS_NOT_FOUND};
    api_ask(call, &p, request);
}

bool process_which(struct api_call *call, struct wire_which *ret)
{
    int64_t pid;
    if (num_parse(call->params[1], 1, INT32_MAX, &pid) < 0) {
        api_fail_code(call, ERROR_PROCESS_NOT_FOUND, "Process not found");
        return false;
    }
    *ret = (struct wire_which){.pid = (uint32_t)pid};
    return true;
}

/* --- start --- */

struct process_args {
    struct wire_start_params params;
    char **args, **env; /* owned */
};

int process_parse_size(const json *from, uint32_t *columns, uint32_t *rows, struct error *err)
{
    int64_t c, r = 0;
    int rv = json_get_int(from, "cols", TERMINAL_COLUMNS, 1, TERMINAL_MAX, &c, err);
    if (rv == 0)
        rv = json_get_int(from, "rows", TERMINAL_ROWS, 1, TERMINAL_MAX, &r, err);
    if (rv == 0) {
        *columns = (uint32_t)c;
        *rows = (uint32_t)r;
    }
    return rv;
}

/* What a command and a terminal have in common; `command` is set. */
static int process_parse_common(struct api_call *call, struct process_args *a, struct error *err)
{
    struct wire_start_params *p = &a->params;
    int64_t max_ms = api_run_time_max(call) * 1000, timeout_s = 0, keep = 0;
    int rv = json_get_str(call->body, "cwd", "", &p->run.cwd, err);
    if (rv == 0)
        rv = json_get_str(call->body, "user", "", &p->run.user, err);
    if (rv == 0)
        rv = json_get_str(call->body, "tag", "", &p->tag, err);
    if (rv == 0)
        rv = json_get_int(call->body, "timeout", 0, 0, max_ms / 1000, &timeout_s, err);
    if (rv == 0)
        rv = json_get_int(call->body, "keep_bytes", 0, 0, WIRE_PROCESS_RING, &keep, err);
    if (rv == 0)
        rv = api_get_list(call->body, "args", &a->args, err);
    if (rv == 0)
        rv = api_environment(call, call->body, "environment", &a->env, err);
    if (rv == 0 && strlen(p->tag) > WIRE_MAX_TAG)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'tag' exceeds %u bytes", WIRE_MAX_TAG);
    p->run.args = a->args;
    p->run.env = a->env;
    p->run.timeout_ms = (uint32_t)timeout_s * 1000;
    p->keep = (uint32_t)keep;
    return rv;
}

/* Programs on a terminal want to know of what type it is. */
void process_add_terminal_type(json *body)
{
    json *env = cJSON_GetObjectItemCaseSensitive(body, "environment");
    if (env == NULL || cJSON_IsNull(env)) {
        cJSON_DeleteItemFromObjectCaseSensitive(body, "environment");
        env = cJSON_AddObjectToObject(body, "environment");
    }
    if (cJSON_IsObject(env) && cJSON_GetObjectItemCaseSensitive(env, "TERM") == NULL)
        cJSON_AddStringToObject(env, "TERM", TERMINAL_TYPE);
}

static int process_parse(struct api_call *call, struct process_args *a, struct error *err)
{
    struct wire_start_params *p = &a->params;
    const json *terminal = NULL;
    int rv = json_need_str(call->body, "command", &p->run.command, err);
    if (rv == 0 && p->run.command[0] == '\0')
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'command' is empty");
    if (rv == 0)
        rv = json_get_bool(call->body, "stdin", false, &p->run.has_stdin, err);
    if (rv == 0)
        rv = json_get_object(call->body, "pty", &terminal, err);
    if (rv == 0 && terminal != NULL) {
        p->has_terminal = true;
        rv = process_parse_size(terminal, &p->columns, &p->rows, err);
        process_add_terminal_type(call->body);
    }
    return rv < 0 ? rv : process_parse_common(call, a, err);
}

static int process_parse_terminal(struct api_call *call, struct process_args *a, struct error *err)
{
    struct wire_start_params *p = &a->params;
    int rv = json_get_str(call->body, "shell", TERMINAL_SHELL, &p->run.command, err);
    if (rv == 0 && p->run.command[0] == '\0')
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'shell' is empty");
    if (rv == 0)
        rv = process_parse_size(call->body, &p->columns, &p->rows, err);
    p->has_terminal = true;
    process_add_terminal_type(call->body);
    return rv < 0 ? rv : process_parse_common(call, a, err);
}

static void process_start(struct api_call *call,
                          int (*parse)(struct api_call *call, struct process_args *a,
                                       struct error *err))
{
    struct error err;
    struct process_args a = {0};
    struct buf request = {0};
    int rv = parse(call, &a, &err);
    if (rv == 0) {
        wire_request_start(&request, &a.params);
        if (request.len > WIRE_MAX_REQUEST)
            rv = error_set(&err, ERROR_BODY_TOO_LARGE, "The command exceeds %u bytes",
                           WIRE_MAX_REQUEST);
    }
    free(a.args);
    free(a.env);
    if (rv == 0) {
        api_ask(call, &(struct ask_params){.status = 201, .take = process_take}, &request);
        return;
    }
    buf_done(&request);
    api_fail(call, &err);
}

void api_process_start(struct api_call *call)
{
    process_start(call, process_parse);
}

void api_pty_start(struct api_call *call)
{
    process_start(call, process_parse_terminal);
}

/* --- list, get, delete --- */

static void process_list(struct api_call *call, bool terminals)
{
    struct buf request = {0};
    const struct ask_params p = {
        .take = process_take_listed, .array = "processes", .flag = terminals};
    wire_request_process_list(&request);
    api_ask(call, &p, &request);
}

void api_process_list(struct api_call *call)
{
    process_list(call, false);
}

void api_pty_list(struct api_call *call)
{
    process_list(call, true);
}

/* An attachment says first what it is attached to, and ends here. */
void api_process_get(struct api_call *call)
{
    struct wire_which which;
    struct buf request = {0};
    if (!process_which(call, &which))
        return;
    wire_request_process_attach(&request, &which, WIRE_SEQ_NOW, 0);
    process_ask(call, process_take, NULL, &request);
}

void api_process_delete(struct api_call *call)
{
    struct wire_which which;
    struct buf request = {0};
    if (!process_which(call, &which))
        return;
    wire_request_process_forget(&request, &which);
    process_ask(call, api_ask_done, "Process deleted", &request);
}

/* --- stream --- */

int process_parse_after(struct api_call *call, uint64_t *after, struct error *err)
{
    int64_t value = 0;
    const struct http_str *last = http_header(call->req, "Last-Event-ID");
    const char *text = last != NULL ? last->data : http_query(call->req, "after");
    bool now = text != NULL && strcmp(text, "now") == 0;
    if (text != NULL && !now && num_parse(text, 0, INT64_MAX, &value) < 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "The number to resume after is none");
    *after = now ? WIRE_SEQ_NOW : (uint64_t)value;
    return 0;
}

void api_process_stream(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    struct buf request = {0};
    const char *encoding = http_query(call->req, "encoding");
    struct feed_params feed = {.kind = EVENTS_OF_PROCESS,
                               .writer = &event_sse_command,
                               .not_found = ERROR_PROCESS_NOT_FOUND,
                               .raw = encoding != NULL && strcmp(encoding, "base64") == 0};
    if (!process_which(call, &which))
        return;
    bool own = api_query_is_true(call, "own");
    int rv = process_parse_after(call, &feed.after, &err);
    if (rv == 0 && own) /* to leave is to end the process */
        rv = principal_require(&call->principal, SCOPE_RUN, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_process_attach(&request, &which, event_first_wanted(feed.after),
                                own ? WIRE_ATTACH_OWN : 0);
    if (feed.after == WIRE_SEQ_NOW)
        feed.after = 0;
    api_feed_start(call, &feed, &request);
}

/* --- input, signal, size --- */

/* JSON has text or base64, anything else is the bytes themselves. */
static int process_parse_input(struct api_call *call, struct buf *data, bool *eof,
                               struct error *err)
{
    const struct http_str *type = http_header(call->req, "Content-Type");
    struct buf *body = &call->req->body;
    const char *text = NULL;
    *eof = false;
    if (type == NULL || strncasecmp(type->data, "application/json", 16) != 0) {
        *data = *body;
        *body = (struct buf){0};
        return 0;
    }
    call->body = json_parse_object_nul(body->data, body->len, err);
    int rv = call->body == NULL ? -EINVAL : json_get_bool(call->body, "eof", false, eof, err);
    if (rv == 0)
        rv = json_get_str(call->body, "data_base64", NULL, &text, err);
    if (rv == 0 && text != NULL && base64_decode(data, text, strlen(text)) < 0)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "Field 'data_base64' is not base64");
    if (rv == 0 && text == NULL && cJSON_HasObjectItem(call->body, "data"))
        rv = json_need_bytes(call->body, "data", data, err);
    return rv;
}

void api_process_input(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    struct buf request = {0};
    cleanup_buf struct buf data = {0};
    bool eof;
    if (!process_which(call, &which))
        return;
    if (process_parse_input(call, &data, &eof, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    eof = eof || api_query_is_true(call, "eof");
    wire_request_process_input(&request, &which, eof ? WIRE_INPUT_EOF : 0, data.data, data.len);
    process_ask(call, api_ask_done, "Input written", &request);
}

uint32_t process_signal_number(const char *name)
{
    static const struct {
        const char *name;
        uint32_t number;
    } names[] = {
        {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"KILL", SIGKILL},
        {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"TERM", SIGTERM},   {"CONT", SIGCONT},
        {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"WINCH", SIGWINCH},
    };
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(name, names[i].name) == 0)
            return names[i].number;
    }
    return 0;
}

static int process_parse_signal(struct api_call *call, uint32_t *ret, struct error *err)
{
    int64_t number;
    const char *name = NULL;
    if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(call->body, "signal"))) {
        int rv = json_get_int(call->body, "signal", 0, 1, 64, &number, err);
        *ret = (uint32_t)number;
        return rv;
    }
    int rv = json_need_str(call->body, "signal", &name, err);
    if (rv < 0)
        return rv;
    *ret = process_signal_number(name);
    if (*ret != 0)
        return 0;
    return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'signal' names no signal");
}

static int process_parse_scope(struct api_call *call, enum wire_scope *ret, struct error *err)
{
    static const char *const names[] = {
        [WIRE_SCOPE_PROCESS] = "process", [WIRE_SCOPE_GROUP] = "group", [WIRE_SCOPE_TREE] = "tree"};
    const char *name = NULL;
    int rv = json_get_str(call->body, "scope", "group", &name, err);
    for (unsigned int i = WIRE_SCOPE_PROCESS; rv == 0 && i <= WIRE_SCOPE_TREE; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum wire_scope)i;
            return 0;
        }
    }
    return rv < 0 ? rv
                  : error_set(err, ERROR_INVALID_ARGUMENT,
                              "Field 'scope' must be \"process\", \"group\" or \"tree\"");
}

void api_process_signal(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    struct buf request = {0};
    uint32_t number = 0;
    enum wire_scope scope = WIRE_SCOPE_GROUP;
    if (!process_which(call, &which))
        return;
    int rv = process_parse_signal(call, &number, &err);
    if (rv == 0)
        rv = process_parse_scope(call, &scope, &err);
    if (rv < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_process_signal(&request, &which, number, scope);
    process_ask(call, api_ask_done, "Signal sent", &request);
}

void api_process_resize(struct api_call *call)
{
    struct error err;
    struct wire_which which;
    struct buf request = {0};
    uint32_t columns = 0, rows = 0;
    if (!process_which(call, &which))
        return;
    if (process_parse_size(call->body, &columns, &rows, &err) < 0) {
        api_fail(call, &err);
        return;
    }
    wire_request_process_resize(&request, &which, columns, rows);
    process_ask(call, api_ask_done, "Terminal resized", &request);
}
