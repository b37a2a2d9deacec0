/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code_result.c - see code_result.h.
 *
 * The JSON of each line is written as the line ends. The limit counts the bytes that the user's
 * code has written. Each line costs some 80 bytes of JSON beside its text, so a second limit,
 * RESULT_JSON times the first, bounds what empty lines take. A line that comes in several frames
 * stays in `partial`.
 */
#include "api/code_result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/reply.h"

#define RESULT_JSON     4    /* bytes of JSON for each byte of text that may be kept */
#define RESULT_DISPLAYS 1000 /* bundles that are kept each by itself */

void code_result_init(struct code_result *r, size_t limit)
{
    *r = (struct code_result){.limit = limit, .out.name = "stdout", .err.name = "stderr"};
}

static void code_stream_done(struct code_stream *s)
{
    buf_done(&s->partial);
    buf_done(&s->events);
    buf_done(&s->lines);
}

void code_result_done(struct code_result *r)
{
    code_stream_done(&r->out);
    code_stream_done(&r->err);
    buf_done(&r->error);
    json_free_p(&r->data);
    json_free_p(&r->displays);
}

static void code_line(struct code_stream *s, const char *line, size_t len, int64_t ms)
{
    if (len > 0 && line[len - 1] == '\r') /* IPython runs !commands on a terminal */
        len--;
    struct jsonw event = {.out = &s->events, .comma = s->events.len > 0};
    struct jsonw log = {.out = &s->lines, .comma = s->lines.len > 0};
    jsonw_object(&event);
    jsonw_key_str(&event, "type", s->name);
    jsonw_key(&event, "line");
    jsonw_strn(&event, line, len);
    jsonw_key_time(&event, "timestamp", ms);
    jsonw_object_end(&event);
    jsonw_strn(&log, line, len);
}

static void code_text(struct code_result *r, struct code_stream *s, const char *text, size_t len,
                      int64_t ms)
{
    s->last_ms = ms;
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t piece = end != NULL ? (size_t)(end - text) : len;
        if (s->kept + piece > r->limit || s->events.len + s->lines.len > r->limit * RESULT_JSON) {
            s->dropped += len;
            return;
        }
        s->kept += end != NULL ? piece + 1 : piece;
        (void)buf_append(&s->partial, text, piece);
        if (end == NULL)
            return;
        code_line(s, (const char *)s->partial.data, s->partial.len, ms);
        buf_reset(&s->partial);
        text += piece + 1;
        len -= piece + 1;
    }
}

/* The mime bundle of a frame. Its bytes come from the sandbox: anything but a JSON object becomes
 * an empty bundle. */
static json *code_bundle(struct span text)
{
    json *bundle = json_parse_object(text.data, text.len, NULL);
    return bundle != NULL ? bundle : json_parse_object(NULL, 0, NULL);
}

/* Keeps a copy of what was displayed, up to a number and the bytes that output may have. */
static void code_display(struct code_result *r, const json *bundle, size_t len)
{
    if (r->n_displays == RESULT_DISPLAYS || r->display_bytes + len > r->limit * RESULT_JSON) {
        r->displays_dropped++;
        return;
    }
    r->n_displays++;
    r->display_bytes += len;
    json_append(&r->displays, bundle);
}

/* The result has precedence over displayed data, and types that it lacks are filled from there: so
 * a client finds a figure under image/png whether it was the value of the last line or only shown.
 */
static void code_data(struct code_result *r, struct span text, bool is_result)
{
    json *bundle = code_bundle(text);
    if (bundle == NULL)
        return;
    if (!is_result || r->all)
        code_display(r, bundle, text.len);
    if (r->data == NULL) {
        r->data = bundle;
        return;
    }
    if (is_result) {
        json_merge_missing(bundle, r->data);
        json_free_p(&r->data);
        r->data = bundle;
    } else {
        json_merge_missing(r->data, bundle);
        json_free_p(&bundle);
    }
}

static void code_error(struct code_result *r, const struct wire_code_error *raised)
{
    struct jsonw w = {.out = &r->error};
    buf_reset(&r->error);
    jsonw_object(&w);
    jsonw_key(&w, "name");
    jsonw_strn(&w, raised->name.data, raised->name.len);
    jsonw_key(&w, "value");
    jsonw_strn(&w, raised->value.data, raised->value.len);
    jsonw_key(&w, "traceback");
    jsonw_strn(&w, raised->traceback.data, raised->traceback.len);
    jsonw_object_end(&w);
}

void code_result_set_error(struct code_result *r, const char *name, const char *value)
{
    const struct wire_code_error raised = {
        .name = {name, strlen(name)}, .value = {value, strlen(value)}, .traceback = {"", 0}};
    code_error(r, &raised);
}

int code_result_add(struct code_result *r, const struct wire_frame *frame)
{
    struct wire_code_stream stream;
    struct wire_code_data data;
    struct wire_code_error raised;
    uint32_t count;
    if (wire_reply_code_stream(frame, &stream)) {
        code_text(r, stream.is_stderr ? &r->err : &r->out, stream.text.data, stream.text.len,
                  stream.time_ms);
    } else if (wire_reply_code_data(frame, &data)) {
        if (frame->type == WIRE_CODE_RESULT)
            r->execution_count = data.execution_count;
        code_data(r, data.bundle, frame->type == WIRE_CODE_RESULT);
    } else if (wire_reply_code_error(frame, &raised)) {
        code_error(r, &raised);
    } else if (!wire_reply_code_begun(frame, &count)) {
        return -EPROTO;
    }
    return 0;
}

static void code_stream_finish(struct code_stream *s)
{
    if (s->partial.len > 0)
        code_line(s, (const char *)s->partial.data, s->partial.len, s->last_ms);
    buf_reset(&s->partial);
    if (s->dropped == 0)
        return;
    (void)buf_printf(&s->partial, "[output truncated: %" PRIu64 " more bytes]", s->dropped);
    code_line(s, (const char *)s->partial.data, s->partial.len, s->last_ms);
}

void code_result_finish(struct code_result *r)
{
    code_stream_finish(&r->out);
    code_stream_finish(&r->err);
}

static void write_array(struct jsonw *w, const char *key, const struct buf *items)
{
    jsonw_key(w, key);
    jsonw_array(w);
    if (items->len > 0)
        jsonw_raw(w, (const char *)items->data, items->len);
    jsonw_array_end(w);
}

static void write_json(struct jsonw *w, const json *j)
{
    (void)json_print(w->out, j);
    w->comma = true;
}

static void write_value(struct jsonw *w, const struct code_result *r)
{
    jsonw_key(w, "result");
    if (r->data == NULL) {
        jsonw_null(w);
        return;
    }
    jsonw_object(w);
    jsonw_key_str(w, "type", "execution_result");
    jsonw_key(w, "data");
    write_json(w, r->data);
    jsonw_key_int(w, "execution_count", r->execution_count);
    jsonw_object_end(w);
}

static void write_displays(struct jsonw *w, struct code_result *r)
{
    char text[64];
    if (r->displays_dropped > 0) {
        (void)snprintf(text, sizeof(text), "[output truncated: %u more bundles]",
                       r->displays_dropped);
        cleanup_json json *last = cJSON_CreateObject();
        cJSON_AddStringToObject(last, "text/plain", text);
        json_append(&r->displays, last);
    }
    jsonw_key(w, "display");
    if (r->displays != NULL)
        write_json(w, r->displays);
    else
        jsonw_raw(w, "[]", 2);
}

void code_result_print(struct code_result *r, struct buf *out, const char *execution_id)
{
    struct jsonw w = {.out = out};
    code_result_finish(r);
    jsonw_object(&w);
    jsonw_key_str(&w, "execution_id", execution_id);
    jsonw_key(&w, "results");
    jsonw_object(&w);
    write_array(&w, "stdout", &r->out.events);
    write_array(&w, "stderr", &r->err.events);
    write_value(&w, r);
    write_displays(&w, r);
    jsonw_object_end(&w);
    jsonw_key(&w, "error");
    if (r->error.len > 0)
        jsonw_raw(&w, (const char *)r->error.data, r->error.len);
    else
        jsonw_null(&w);
    jsonw_key(&w, "logs");
    jsonw_object(&w);
    write_array(&w, "stdout", &r->out.lines);
    write_array(&w, "stderr", &r->err.lines);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
}
