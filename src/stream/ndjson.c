/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ndjson.c - one JSON object a line, all ASCII, for clients that split lines at every line break of
 * Unicode or decode each piece of the network on its own.
 */
#include "base/timefmt.h"
#include "stream/describe.h"
#include "stream/event.h"
#include "stream/json_line.h"
#include "stream/result.h"

#define NDJSON_KEEPALIVE_MS 5000

/* Writes one object; `members` writes what is behind its type. */
static void ndjson_line(struct buf *out, const char *type, const struct event *e,
                        void (*members)(struct jsonw *w, const struct event *e))
{
    struct jsonw w = {.out = out};
    size_t start = out->len;
    jsonw_object(&w);
    jsonw_key_str(&w, "type", type);
    if (members != NULL)
        members(&w, e);
    jsonw_object_end(&w);
    json_line_escape(out, start, true);
    (void)buf_append(out, "\n", 1);
}

static void ndjson_text(struct jsonw *w, const struct event *e)
{
    describe_span(w, "text", e->bytes);
    jsonw_key_time(w, "timestamp", e->time_ms);
}

static void ndjson_result(struct jsonw *w, const struct event *e)
{
    const struct span text = e->data.bundle;
    cleanup_json json *data = json_parse_object(text.data, text.len, NULL);
    result_members(w, data);
    result_extra(w, data);
    jsonw_key_bool(w, "is_main_result", e->type == EVENT_RESULT);
}

static void ndjson_error(struct jsonw *w, const struct event *e)
{
    describe_span(w, "name", e->raised.name);
    describe_span(w, "value", e->raised.value);
    describe_span(w, "traceback", e->raised.traceback);
}

static void ndjson_failure(struct jsonw *w, const struct event *e)
{
    jsonw_key_str(w, "name", error_name(e->failure->code));
    jsonw_key_str(w, "value", e->failure->message);
    jsonw_key_str(w, "traceback", "");
}

static void ndjson_timeout(struct jsonw *w, const struct event *e)
{
    jsonw_key_str(w, "name", "TimeoutError");
    jsonw_key_str(w, "value",
                  e->done.status == WIRE_CODE_RESTARTED
                      ? "The code ran too long and its kernel was restarted"
                      : "The code ran too long and was interrupted");
    jsonw_key_str(w, "traceback", "");
}

static void ndjson_death(struct jsonw *w, const struct event *e)
{
    char text[WIRE_DEATH_TEXT_MAX];
    wire_reply_death(&e->done, text);
    jsonw_key_str(w, "name", "KernelDied");
    jsonw_key_str(w, "value", text);
    jsonw_key_str(w, "traceback", "");
}

static void ndjson_count(struct jsonw *w, const struct event *e)
{
    jsonw_key_int(w, "execution_count", e->count);
}

static void ndjson_done(struct buf *out, const struct event *e)
{
    if (e->done.status == WIRE_CODE_TIMED_OUT || e->done.status == WIRE_CODE_RESTARTED)
        ndjson_line(out, "error", e, ndjson_timeout);
    if (e->done.status == WIRE_CODE_KERNEL_DIED)
        ndjson_line(out, "error", e, ndjson_death);
    ndjson_line(out, "end_of_execution", e, NULL);
}

static void ndjson_event(struct buf *out, const struct event *e)
{
    switch (e->type) {
    case EVENT_BEGUN:
        ndjson_line(out, "number_of_executions", e, ndjson_count);
        break;
    case EVENT_STDOUT:
        ndjson_line(out, "stdout", e, ndjson_text);
        break;
    case EVENT_STDERR:
        ndjson_line(out, "stderr", e, ndjson_text);
        break;
    case EVENT_RESULT:
    case EVENT_DISPLAY:
        ndjson_line(out, "result", e, ndjson_result);
        break;
    case EVENT_ERROR:
        ndjson_line(out, "error", e, ndjson_error);
        break;
    case EVENT_DONE:
        ndjson_done(out, e);
        break;
    case EVENT_FAILED:
        ndjson_line(out, "error", e, ndjson_failure);
        break;
    default: /* of processes */
        break;
    }
}

static void ndjson_keepalive(struct buf *out)
{
    ndjson_line(out, "keepalive", NULL, NULL);
}

const struct event_writer event_ndjson_code = {.content_type = "application/x-ndjson",
                                               .keepalive_ms = NDJSON_KEEPALIVE_MS,
                                               .event = ndjson_event,
                                               .keepalive = ndjson_keepalive};
