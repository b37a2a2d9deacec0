/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs.c - what has happened in a sandbox: it was created, processes began and ended.
 *
 * Nothing is logged for this: the agent's table of processes has the moments. So what it has
 * forgotten is in no log. The first form has each entry twice, as an object and as a line that is
 * an object again; the second form has the objects.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/op.h"
#include "base/num.h"
#include "e2b/internal.h"
#include "stream/describe.h"

#define LOGS_MAX        2048       /* entries */
#define LOGS_TEXT       (4u << 20) /* bytes of their fields */
#define LOGS_PAGE       1000 /* entries of an answer, at most and when the client names none */
#define LOGS_TIMEOUT_MS 60000

struct logs_entry {
    int64_t ms;
    const char *message;
    size_t at, len; /* of its fields, members of a JSON object, in `text` */
};

struct logs {
    struct api_op op;
    bool lines;    /* the first form */
    bool backward; /* the newest first */
    int64_t start, limit;
    size_t n;
    struct logs_entry entries[LOGS_MAX];
    struct buf text;
};

/* The fields of the entry that follows are what was appended since `at`. */
static void logs_add(struct logs *l, int64_t ms, const char *message, size_t at)
{
    bool wanted = l->backward ? ms <= l->start : ms >= l->start;
    if (wanted && l->n < LOGS_MAX)
        l->entries[l->n++] = (struct logs_entry){ms, message, at, l->text.len - at};
}

static void logs_add_number(struct jsonw *w, const char *key, int64_t number)
{
    char text[24]; /* every field is a string */
    (void)snprintf(text, sizeof(text), "%lld", (long long)number);
    jsonw_key_str(w, key, text);
}

static void logs_add_created(struct logs *l, const struct sandbox *sb)
{
    struct jsonw w = {.out = &l->text};
    jsonw_key_str(&w, "templateID", sb->template_name);
    logs_add(l, sb->started_ms, "Sandbox created", 0);
}

static void logs_add_process(struct logs *l, const struct wire_process *p)
{
    size_t at = l->text.len;
    struct jsonw w = {.out = &l->text};
    struct cursor words = p->argv;
    struct span word;
    cleanup_buf struct buf command = {0};
    while (wire_next_word(&words, &word)) {
        (void)buf_append(&command, " ", command.len > 0);
        (void)buf_append(&command, word.data, word.len);
    }
    logs_add_number(&w, "pid", p->pid);
    jsonw_key(&w, "cmd");
    jsonw_strn(&w, (const char *)command.data, command.len);
    describe_span(&w, "cwd", p->cwd);
    logs_add(l, p->started_ms, "Process started", at);
    if (!p->ended)
        return;
    at = l->text.len;
    w.comma = false;
    logs_add_number(&w, "pid", p->pid);
    if (p->exit.signal != 0)
        logs_add_number(&w, "signal", p->exit.signal);
    else
        logs_add_number(&w, "exitCode", p->exit.code);
    int64_t ms = (int64_t)MIN(p->exit.duration_us / 1000, (uint64_t)INT32_MAX);
    logs_add(l, p->started_ms + ms, "Process ended", at);
}

static int logs_compare(const void *a, const void *b)
{
    const struct logs_entry *x = a, *y = b;
    return x->ms != y->ms ? (x->ms > y->ms) - (x->ms < y->ms) : (x->at > y->at) - (x->at < y->at);
}

static void logs_write_object(struct jsonw *w, const struct logs *l, const struct logs_entry *e)
{
    jsonw_object(w);
    jsonw_key_time(w, "timestamp", e->ms);
    jsonw_key_str(w, "level", "info");
    jsonw_key_str(w, "message", e->message);
    jsonw_key(w, "fields");
    jsonw_object(w);
    jsonw_raw(w, (const char *)l->text.data + e->at, e->len);
    jsonw_object_end(w);
    jsonw_object_end(w);
}

static void logs_write_line(struct jsonw *w, const struct logs *l, const struct logs_entry *e)
{
    cleanup_buf struct buf line = {0};
    struct jsonw inner = {.out = &line};
    jsonw_object(&inner);
    jsonw_key_str(&inner, "logger", "sandbox");
    jsonw_key_str(&inner, "level", "info");
    jsonw_key_str(&inner, "message", e->message);
    jsonw_raw(&inner, (const char *)l->text.data + e->at, e->len);
    jsonw_object_end(&inner);
    jsonw_object(w);
    jsonw_key_time(w, "timestamp", e->ms);
    jsonw_key(w, "line");
    jsonw_strn(w, (const char *)line.data, line.len);
    jsonw_object_end(w);
}

static void logs_write(struct jsonw *w, const struct logs *l, const char *key,
                       void (*write)(struct jsonw *w, const struct logs *l,
                                     const struct logs_entry *e))
{
    size_t n = MIN(l->n, (size_t)l->limit);
    jsonw_key(w, key);
    jsonw_array(w);
    for (size_t i = 0; i < n; i++)
        write(w, l, &l->entries[l->backward ? l->n - 1 - i : i]);
    jsonw_array_end(w);
}

static void logs_frame(struct api_op *op, const struct wire_frame *frame)
{
    struct logs *l = container_of(op, struct logs, op);
    struct wire_process process;
    struct buf body = {0};
    struct jsonw w = {.out = &body};
    if (wire_reply_process(frame, &process) && l->text.len < LOGS_TEXT && !l->text.failed) {
        logs_add_process(l, &process);
        return;
    }
    if (!wire_reply_is(frame, WIRE_END)) {
        api_op_bad_frame(op);
        return;
    }
    qsort(l->entries, l->n, sizeof(l->entries[0]), logs_compare);
    jsonw_object(&w);
    logs_write(&w, l, "logs", l->lines ? logs_write_line : logs_write_object);
    if (l->lines)
        logs_write(&w, l, "logEntries", logs_write_object);
    jsonw_object_end(&w);
    api_reply(api_op_close(op), 200, &body);
}

static void logs_release(struct api_op *op)
{
    struct logs *l = container_of(op, struct logs, op);
    buf_done(&l->text);
    free(l);
}

static const struct api_op_ops logs_ops = {.frame = logs_frame, .release = logs_release};

/* False: the request has its answer. */
static bool logs_parse(struct api_call *call, struct logs *l)
{
    const char *start = http_form_query(call->req, l->lines ? "start" : "cursor");
    const char *limit = http_form_query(call->req, "limit");
    const char *direction = http_form_query(call->req, "direction");
    l->backward = !l->lines && direction != NULL && strcmp(direction, "backward") == 0;
    l->start = l->backward ? INT64_MAX : 0;
    l->limit = LOGS_PAGE;
    if ((start == NULL || num_parse(start, 0, INT64_MAX, &l->start) == 0) &&
        (limit == NULL || num_parse(limit, 0, LOGS_PAGE, &l->limit) == 0))
        return true;
    api_fail_code(call, ERROR_INVALID_ARGUMENT, "A parameter of the query is no number");
    return false;
}

static void logs_start(struct api_call *call, bool lines)
{
    struct buf request = {0};
    struct logs *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        api_fail_code(call, ERROR_INTERNAL, "Out of memory");
        return;
    }
    l->lines = lines;
    if (!logs_parse(call, l)) {
        free(l);
        return;
    }
    logs_add_created(l, call->sandbox);
    wire_request_process_list(&request);
    api_op_start(&l->op, call, &logs_ops, &request, LOGS_TIMEOUT_MS);
}

void e2b_logs_lines(struct api_call *call)
{
    logs_start(call, true);
}

void e2b_logs(struct api_call *call)
{
    logs_start(call, false);
}
