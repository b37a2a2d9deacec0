/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse.c - server-sent events: each one line of JSON, with the number behind which a stream resumes.
 *
 * The objects are those of the published clients of streams: {"type":"stdout","data":"..."} of a
 * command, with "text" instead of "data" of code. Output that is no text goes as base64 under
 * "data_base64".
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/base64.h"
#include "stream/describe.h"
#include "stream/event.h"
#include "stream/json_line.h"
#include "stream/result.h"

#define SSE_KEEPALIVE_MS 15000

static const char *sse_type(const struct event *e)
{
    static const char *const changes[] = {
        [WIRE_CHANGE_CREATE] = "create", [WIRE_CHANGE_WRITE] = "write",
        [WIRE_CHANGE_REMOVE] = "remove", [WIRE_CHANGE_RENAME] = "rename",
        [WIRE_CHANGE_CHMOD] = "chmod",   [WIRE_CHANGE_OVERFLOW] = "overflow",
    };
    static const char *const names[] = {
        [EVENT_PROCESS] = "process", [EVENT_STDOUT] = "stdout",  [EVENT_STDERR] = "stderr",
        [EVENT_TERMINAL] = "pty",    [EVENT_RESULT] = "result",  [EVENT_DISPLAY] = "result",
        [EVENT_ERROR] = "error",     [EVENT_GAP] = "gap",        [EVENT_EXIT] = "end",
        [EVENT_DONE] = "end",        [EVENT_WATCHING] = "start", [EVENT_FAILED] = "error",
    };
    return e->type == EVENT_CHANGE ? changes[e->change.what] : names[e->type];
}

static void sse_output(struct jsonw *w, const struct event *e, const char *key)
{
    if (e->is_text) {
        jsonw_key(w, key);
        jsonw_strn(w, e->bytes.data, e->bytes.len);
        return;
    }
    jsonw_key(w, "data_base64");
    jsonw_raw(w, "\"", 1);
    (void)base64_encode(w->out, e->bytes.data, e->bytes.len);
    (void)buf_append(w->out, "\"", 1);
}

static void sse_result(struct jsonw *w, const struct event *e)
{
    const struct span text = e->data.bundle;
    cleanup_json json *data = json_parse_object(text.data, text.len, NULL);
    jsonw_key(w, "result");
    jsonw_object(w);
    result_members(w, data);
    jsonw_object_end(w);
}

static void sse_raised(struct jsonw *w, const struct wire_code_error *raised)
{
    jsonw_key(w, "error");
    jsonw_object(w);
    describe_span(w, "name", raised->name);
    describe_span(w, "value", raised->value);
    describe_span(w, "traceback", raised->traceback);
    jsonw_object_end(w);
}

static void sse_done(struct jsonw *w, const struct wire_code_done *done)
{
    jsonw_key_int(w, "execution_count", done->execution_count);
    if (done->status == WIRE_CODE_TIMED_OUT || done->status == WIRE_CODE_RESTARTED)
        jsonw_key_bool(w, "timed_out", true);
    if (done->status == WIRE_CODE_RESTARTED)
        jsonw_key_str(w, "message", "The kernel ignored the interrupt and was restarted");
    if (done->status == WIRE_CODE_KERNEL_DIED) {
        char text[WIRE_DEATH_TEXT_MAX];
        wire_reply_death(done, text);
        jsonw_key_str(w, "message", text);
    }
}

static void sse_failure(struct jsonw *w, const struct error *failure, bool of_code)
{
    if (!of_code) {
        jsonw_key_str(w, "message", failure->message);
        jsonw_key_str(w, "code", error_name(failure->code));
        return;
    }
    jsonw_key(w, "error");
    jsonw_object(w);
    jsonw_key_str(w, "name", error_name(failure->code));
    jsonw_key_str(w, "value", failure->message);
    jsonw_key_str(w, "traceback", "");
    jsonw_object_end(w);
}

/* "name" is the path below the watched one; the client knows that one. */
static void sse_change(struct jsonw *w, const struct wire_changed *change)
{
    if (change->what == WIRE_CHANGE_OVERFLOW)
        return;
    describe_span(w, "name", change->path);
    if (change->what == WIRE_CHANGE_RENAME && change->new_path.len > 0)
        describe_span(w, "new_name", change->new_path);
    if (change->kind != 0)
        jsonw_key_str(w, "kind", describe_kind(change->kind));
}

static void sse_members(struct jsonw *w, const struct event *e, bool of_code)
{
    switch (e->type) {
    case EVENT_STDOUT:
    case EVENT_STDERR:
    case EVENT_TERMINAL:
        sse_output(w, e, of_code ? "text" : "data");
        break;
    case EVENT_RESULT:
    case EVENT_DISPLAY:
        sse_result(w, e);
        break;
    case EVENT_PROCESS:
        describe_process(w, &e->process);
        break;
    case EVENT_ERROR:
        sse_raised(w, &e->raised);
        break;
    case EVENT_EXIT:
        describe_exit(w, &e->exit);
        break;
    case EVENT_DONE:
        sse_done(w, &e->done);
        break;
    case EVENT_FAILED:
        sse_failure(w, e->failure, of_code);
        break;
    case EVENT_CHANGE:
        sse_change(w, &e->change);
        break;
    case EVENT_WATCHING:
    case EVENT_BEGUN:
    case EVENT_GAP:
        break;
    }
}

static void sse_event(struct buf *out, const struct event *e, bool of_code)
{
    if (e->seq > 0)
        (void)buf_printf(out, "id: %" PRIu64 "\n", e->seq);
    (void)buf_append(out, "data: ", 6);
    struct jsonw w = {.out = out};
    size_t start = out->len;
    jsonw_object(&w);
    jsonw_key_str(&w, "type", sse_type(e));
    sse_members(&w, e, of_code);
    jsonw_object_end(&w);
    json_line_escape(out, start, false);
    (void)buf_append(out, "\n\n", 2);
}

static void sse_command_event(struct buf *out, const struct event *e)
{
    sse_event(out, e, false);
}

/* Clients of code wait for "end" whatever came before it. */
static void sse_code_event(struct buf *out, const struct event *e)
{
    if (e->type == EVENT_BEGUN) /* the number comes with the end */
        return;
    sse_event(out, e, true);
    if (e->type == EVENT_FAILED)
        (void)buf_append_str(out, "data: {\"type\":\"end\"}\n\n");
}

static void sse_keepalive(struct buf *out)
{
    (void)buf_append_str(out, ": keep-alive\n\n");
}

const struct event_writer event_sse_command = {.content_type = "text/event-stream",
                                               .keepalive_ms = SSE_KEEPALIVE_MS,
                                               .event = sse_command_event,
                                               .keepalive = sse_keepalive};
const struct event_writer event_sse_code = {.content_type = "text/event-stream",
                                            .keepalive_ms = SSE_KEEPALIVE_MS,
                                            .event = sse_code_event,
                                            .keepalive = sse_keepalive};
