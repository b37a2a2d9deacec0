/* SPDX-License-Identifier: Apache-2.0 */
/* tell.c - events of processes and of watched directories as messages of a stream; those of code as
 * lines, which the layer below writes. */
#include "stream/tell.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "stream/connect.h"

#define TELL_KEEPALIVE_MS 45000 /* clients ask for one every 50 s */

/* Writes {"event":{"<kind>":{...}}}; the caller writes the members in between. */
static size_t tell_begin(struct jsonw *w, const char *kind)
{
    size_t start = connect_begin(w->out);
    jsonw_object(w);
    jsonw_key(w, "event");
    jsonw_object(w);
    jsonw_key(w, kind);
    jsonw_object(w);
    return start;
}

static void tell_end(struct jsonw *w, size_t start)
{
    jsonw_object_end(w);
    jsonw_object_end(w);
    jsonw_object_end(w);
    connect_end(w->out, start);
}

static void tell_start(struct buf *out, uint32_t pid)
{
    struct jsonw w = {.out = out};
    size_t start = tell_begin(&w, "start");
    jsonw_key_int(&w, "pid", pid);
    tell_end(&w, start);
}

static void tell_output(struct buf *out, const char *name, struct span bytes)
{
    struct jsonw w = {.out = out};
    size_t start = tell_begin(&w, "data");
    jsonw_key(&w, name);
    (void)buf_append_str(out, "\"");
    (void)base64_encode(out, bytes.data, bytes.len);
    (void)buf_append_str(out, "\"");
    tell_end(&w, start);
}

static const char *tell_signal_name(uint32_t number)
{
    static const char *const names[] = {
        [SIGHUP] = "hangup",       [SIGINT] = "interrupt",   [SIGQUIT] = "quit",
        [SIGABRT] = "aborted",     [SIGKILL] = "killed",     [SIGSEGV] = "segmentation fault",
        [SIGPIPE] = "broken pipe", [SIGTERM] = "terminated",
    };
    return number < ARRAY_SIZE(names) ? names[number] : NULL;
}

static void tell_exit(struct buf *out, const struct wire_exit *how)
{
    char status[64];
    struct jsonw w = {.out = out};
    const char *name = tell_signal_name(how->signal);
    if (how->signal == 0)
        (void)snprintf(status, sizeof(status), "exit status %d", how->code);
    else if (name != NULL)
        (void)snprintf(status, sizeof(status), "signal: %s", name);
    else
        (void)snprintf(status, sizeof(status), "signal: %u", how->signal);
    size_t start = tell_begin(&w, "end");
    jsonw_key_int(&w, "exitCode", how->signal != 0 ? -1 : how->code);
    jsonw_key_bool(&w, "exited", how->signal == 0);
    jsonw_key_str(&w, "status", status);
    if (how->signal != 0 || how->code != 0)
        jsonw_key_str(&w, "error", status);
    tell_end(&w, start);
    connect_end_stream(out, NULL);
}

/* The end that a client's deadline has brought is none of the process's own. */
static void tell_deadline(struct buf *out)
{
    struct error err;
    error_set(&err, ERROR_TIMEOUT, "The process was ended at its deadline");
    connect_end_stream(out, &err);
}

static void tell_process_event(struct buf *out, const struct event *e)
{
    switch (e->type) {
    case EVENT_PROCESS:
        tell_start(out, e->process.pid);
        break;
    case EVENT_STDOUT:
        tell_output(out, "stdout", e->bytes);
        break;
    case EVENT_STDERR:
        tell_output(out, "stderr", e->bytes);
        break;
    case EVENT_TERMINAL:
        tell_output(out, "pty", e->bytes);
        break;
    case EVENT_EXIT:
        if (e->exit.timed_out)
            tell_deadline(out);
        else
            tell_exit(out, &e->exit);
        break;
    case EVENT_FAILED:
        connect_end_stream(out, e->failure);
        break;
    default: /* a gap, of which these clients know nothing */
        break;
    }
}

static void tell_process_keepalive(struct buf *out)
{
    struct jsonw w = {.out = out};
    tell_end(&w, tell_begin(&w, "keepalive"));
}

const struct event_writer tell_process = {.content_type = "application/connect+json",
                                          .keepalive_ms = TELL_KEEPALIVE_MS,
                                          .event = tell_process_event,
                                          .keepalive = tell_process_keepalive};

/* The name under which the agent writes a file: a dot and 32 digits. */
static bool tell_is_unfinished(struct span path)
{
    const char *slash = memrchr(path.data, '/', path.len);
    const char *name = slash != NULL ? slash + 1 : path.data;
    size_t len = (size_t)(path.data + path.len - name), digits = 0;
    while (digits + 1 < len && memchr("0123456789abcdef", name[digits + 1], 16) != NULL)
        digits++;
    return len == 33 && name[0] == '.' && digits == 32;
}

unsigned int tell_changes(const struct wire_changed *change, struct tell_change ret[2])
{
    bool moved = change->what == WIRE_CHANGE_RENAME && change->new_path.len > 0;
    if (change->what == WIRE_CHANGE_OVERFLOW)
        return 0;
    if (change->path.len > 0 && tell_is_unfinished(change->path)) {
        if (!moved)
            return 0;
        ret[0] = (struct tell_change){change->new_path, WIRE_CHANGE_CREATE};
        ret[1] = (struct tell_change){change->new_path, WIRE_CHANGE_WRITE};
        return 2;
    }
    ret[0] = (struct tell_change){change->path, change->what};
    if (!moved)
        return 1;
    ret[1] = (struct tell_change){change->new_path, WIRE_CHANGE_CREATE};
    return 2;
}

void tell_change_write(struct jsonw *w, const struct tell_change *change)
{
    static const char *const types[] = {[WIRE_CHANGE_CREATE] = "EVENT_TYPE_CREATE",
                                        [WIRE_CHANGE_WRITE] = "EVENT_TYPE_WRITE",
                                        [WIRE_CHANGE_REMOVE] = "EVENT_TYPE_REMOVE",
                                        [WIRE_CHANGE_RENAME] = "EVENT_TYPE_RENAME",
                                        [WIRE_CHANGE_CHMOD] = "EVENT_TYPE_CHMOD"};
    jsonw_object(w);
    jsonw_key(w, "name");
    jsonw_strn(w, change->name.data, change->name.len);
    jsonw_key_str(w, "type", types[change->what]);
    jsonw_object_end(w);
}

static void tell_watch_message(struct buf *out, const struct tell_change *change)
{
    struct jsonw w = {.out = out};
    size_t start = connect_begin(out);
    jsonw_object(&w);
    jsonw_key(&w, "filesystem");
    tell_change_write(&w, change);
    jsonw_object_end(&w);
    connect_end(out, start);
}

static void tell_watch_plain(struct buf *out, const char *json_text)
{
    size_t start = connect_begin(out);
    (void)buf_append_str(out, json_text);
    connect_end(out, start);
}

static void tell_watch_event(struct buf *out, const struct event *e)
{
    struct tell_change seen[2];
    if (e->type == EVENT_WATCHING) {
        tell_watch_plain(out, "{\"start\":{}}");
    } else if (e->type == EVENT_FAILED) {
        connect_end_stream(out, e->failure);
    } else if (e->type == EVENT_CHANGE) {
        unsigned int n = tell_changes(&e->change, seen);
        for (unsigned int i = 0; i < n; i++)
            tell_watch_message(out, &seen[i]);
    }
}

static void tell_watch_keepalive(struct buf *out)
{
    tell_watch_plain(out, "{\"keepalive\":{}}");
}

const struct event_writer tell_watch = {.content_type = "application/connect+json",
                                        .keepalive_ms = TELL_KEEPALIVE_MS,
                                        .event = tell_watch_event,
                                        .keepalive = tell_watch_keepalive};

/* Python shows a string in its quotes; clients expect it without. */
static void tell_unquote(json *bundle)
{
    json *text = cJSON_GetObjectItemCaseSensitive(bundle, "text/plain");
    size_t n = cJSON_IsString(text) ? strlen(text->valuestring) : 0;
    const char *s = n >= 2 ? text->valuestring : "";
    if (n < 2 || (s[0] != '\'' && s[0] != '"') || s[n - 1] != s[0])
        return;
    cleanup_free char *inner = strndup(s + 1, n - 2);
    if (inner != NULL)
        cJSON_ReplaceItemInObjectCaseSensitive(bundle, "text/plain", cJSON_CreateString(inner));
}

static void tell_code_event(struct buf *out, const struct event *e)
{
    struct event shown = *e;
    cleanup_buf struct buf text = {0};
    if (e->type == EVENT_RESULT || e->type == EVENT_DISPLAY) {
        const struct span bundle = e->data.bundle;
        cleanup_json json *data = json_parse_object(bundle.data, bundle.len, NULL);
        if (data != NULL) {
            tell_unquote(data);
            (void)json_print(&text, data);
            shown.data.bundle = (struct span){(const char *)text.data, text.len};
        }
    }
    event_ndjson_code.event(out, &shown);
}

static void tell_code_keepalive(struct buf *out)
{
    event_ndjson_code.keepalive(out);
}

const struct event_writer tell_code = {.content_type = "application/x-ndjson",
                                       .keepalive_ms = 5000,
                                       .event = tell_code_event,
                                       .keepalive = tell_code_keepalive};
