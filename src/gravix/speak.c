/* SPDX-License-Identifier: Apache-2.0 */
/* speak.c - server-sent events of terminals, of code and of watched directories, as these clients
 * read them. Those of commands are the ones that the layer below writes. */
#include <string.h>

#include "base/base64.h"
#include "gravix/internal.h"
#include "stream/describe.h"
#include "stream/json_line.h"

#define SPEAK_KEEPALIVE_MS 15000 /* they give up after 45 s */

static void speak_keepalive(struct buf *out)
{
    event_sse_command.keepalive(out);
}

static size_t speak_begin(struct jsonw *w, const char *type)
{
    (void)buf_append_str(w->out, "data: ");
    size_t start = w->out->len;
    jsonw_object(w);
    jsonw_key_str(w, "type", type);
    return start;
}

static void speak_end(struct jsonw *w, size_t start)
{
    jsonw_object_end(w);
    json_line_escape(w->out, start, false);
    (void)buf_append_str(w->out, "\n\n");
}

/* --- terminals --- */

static void speak_pty_event(struct buf *out, const struct event *e)
{
    struct jsonw w = {.out = out};
    size_t start;
    switch (e->type) {
    case EVENT_STDOUT:
    case EVENT_STDERR:
    case EVENT_TERMINAL:
        start = speak_begin(&w, "data");
        jsonw_key(&w, "data");
        (void)buf_append_str(out, "\"");
        (void)base64_encode(out, e->bytes.data, e->bytes.len);
        (void)buf_append_str(out, "\"");
        speak_end(&w, start);
        break;
    case EVENT_EXIT:
        start = speak_begin(&w, "exit");
        jsonw_key_int(&w, "exit_code", e->exit.code);
        jsonw_key_str(&w, "status", e->exit.code == 0 ? "success" : "failed");
        speak_end(&w, start);
        break;
    case EVENT_FAILED:
        start = speak_begin(&w, "error");
        jsonw_key_str(&w, "message", e->failure->message);
        speak_end(&w, start);
        break;
    default:
        break;
    }
}

const struct event_writer gravix_speak_pty = {.content_type = "text/event-stream",
                                              .keepalive_ms = SPEAK_KEEPALIVE_MS,
                                              .event = speak_pty_event,
                                              .keepalive = speak_keepalive};

/* --- code --- */

static struct span speak_text(const char *text)
{
    return (struct span){text, strlen(text)};
}

/* An end that is not the code's own is an error of it, as in an answer that is no stream. */
static void speak_code_event(struct buf *out, const struct event *e)
{
    struct event raised = {.type = EVENT_ERROR};
    bool timed_out = e->type == EVENT_DONE && (e->done.status == WIRE_CODE_TIMED_OUT ||
                                               e->done.status == WIRE_CODE_RESTARTED);
    bool died = e->type == EVENT_DONE && e->done.status == WIRE_CODE_KERNEL_DIED;
    if (timed_out || died) {
        raised.raised.name = speak_text(timed_out ? GRAVIX_TIMEOUT_NAME : "KernelDied");
        raised.raised.value = speak_text(timed_out ? "Code execution timed out"
                                                   : "The kernel died during this run");
        raised.raised.traceback = speak_text("");
        event_sse_code.event(out, &raised);
    }
    event_sse_code.event(out, e);
}

const struct event_writer gravix_speak_code = {.content_type = "text/event-stream",
                                               .keepalive_ms = SPEAK_KEEPALIVE_MS,
                                               .event = speak_code_event,
                                               .keepalive = speak_keepalive};

/* --- watched directories --- */

/* Where a change happened: `name` lies below the watched path, or is "" for that path itself. */
static void speak_path(struct jsonw *w, const char *key, const char *watched, struct span name)
{
    cleanup_buf struct buf path = {0};
    (void)buf_append_str(&path, watched);
    if (name.len > 0 && strcmp(watched, "/") != 0)
        (void)buf_append_str(&path, "/");
    (void)buf_append(&path, name.data, name.len);
    describe_span(w, key, (struct span){(const char *)path.data, path.len});
}

static void speak_change(struct buf *out, const struct event *e)
{
    static const char *const types[] = {[WIRE_CHANGE_CREATE] = "create",
                                        [WIRE_CHANGE_WRITE] = "write",
                                        [WIRE_CHANGE_REMOVE] = "remove",
                                        [WIRE_CHANGE_RENAME] = "rename",
                                        [WIRE_CHANGE_CHMOD] = "chmod"};
    struct jsonw w = {.out = out};
    const struct wire_changed *change = &e->change;
    if (change->what == WIRE_CHANGE_OVERFLOW)
        return; /* of which these clients know nothing */
    size_t start = speak_begin(&w, types[change->what]);
    describe_span(&w, "name", change->path);
    speak_path(&w, "path", e->watched, change->path);
    if (change->what == WIRE_CHANGE_RENAME && change->new_path.len > 0)
        speak_path(&w, "new_path", e->watched, change->new_path);
    speak_end(&w, start);
}

static void speak_watch_event(struct buf *out, const struct event *e)
{
    if (e->type == EVENT_CHANGE)
        speak_change(out, e);
    else
        event_sse_command.event(out, e);
}

const struct event_writer gravix_speak_watch = {.content_type = "text/event-stream",
                                                .keepalive_ms = SPEAK_KEEPALIVE_MS,
                                                .event = speak_watch_event,
                                                .keepalive = speak_keepalive};
