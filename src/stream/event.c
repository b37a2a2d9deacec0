/* SPDX-License-Identifier: Apache-2.0 */
/* event.c - see event.h. */
#include "stream/event.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"

uint64_t event_first_wanted(uint64_t after)
{
    if (after == WIRE_SEQ_NOW)
        return after;
    return after > EVENT_LOOK_BACK ? after - EVENT_LOOK_BACK + 1 : 1;
}

static enum event_type event_type_of(enum wire_stream stream)
{
    static const enum event_type types[] = {[WIRE_STREAM_STDOUT] = EVENT_STDOUT,
                                            [WIRE_STREAM_STDERR] = EVENT_STDERR,
                                            [WIRE_STREAM_PTY] = EVENT_TERMINAL};
    return types[stream];
}

static void event_emit_output(struct event_source *s, enum wire_stream stream, struct span bytes)
{
    if (bytes.len == 0 || s->seq <= s->after)
        return;
    const struct event e = {.type = event_type_of(stream),
                            .seq = s->seq,
                            .is_text = s->text && stream != WIRE_STREAM_PTY,
                            .bytes = bytes};
    s->emit(s, &e);
}

/* The bytes with the tail of the chunk before in front of them, and without a tail of their own. */
static struct span event_whole_characters(struct event_source *s, struct event_tail *tail,
                                          struct span bytes)
{
    if (tail->len > 0) {
        buf_reset(&s->joined);
        (void)buf_append(&s->joined, tail->bytes, tail->len);
        (void)buf_append(&s->joined, bytes.data, bytes.len);
        bytes = (struct span){(const char *)s->joined.data, s->joined.len};
    }
    tail->len = utf8_tail((const uint8_t *)bytes.data, bytes.len);
    bytes.len -= tail->len;
    memcpy(tail->bytes, bytes.data + bytes.len, tail->len);
    return bytes;
}

static void event_source_output(struct event_source *s, enum wire_stream stream, struct span bytes)
{
    if (s->text && stream != WIRE_STREAM_PTY)
        bytes = event_whole_characters(s, &s->tails[stream - 1], bytes);
    event_emit_output(s, stream, bytes);
}

/* The characters that never came to their end. */
static void event_source_flush(struct event_source *s)
{
    for (unsigned int i = 0; i < WIRE_STREAM_PTY; i++) {
        struct event_tail *tail = &s->tails[i];
        event_emit_output(s, (enum wire_stream)(i + 1),
                          (struct span){(const char *)tail->bytes, tail->len});
        tail->len = 0;
    }
}

static int event_source_exit(struct event_source *s, const struct wire_exit *how)
{
    event_source_flush(s);
    const struct event e = {.type = EVENT_EXIT, .exit = *how};
    s->emit(s, &e);
    return 1;
}

static int event_from_command(struct event_source *s, const struct wire_frame *frame)
{
    struct wire_exit how;
    if (frame->type == WIRE_STDOUT || frame->type == WIRE_STDERR) {
        s->seq++;
        event_source_output(s, frame->type == WIRE_STDOUT ? WIRE_STREAM_STDOUT : WIRE_STREAM_STDERR,
                            (struct span){(const char *)frame->payload, frame->len});
        return 0;
    }
    if (wire_reply_exit(frame, &how))
        return event_source_exit(s, &how);
    return frame->type == WIRE_STARTED ? 0 : -EPROTO;
}

static void event_begin(struct event_source *s, uint32_t count)
{
    const struct event e = {.type = EVENT_BEGUN, .count = count};
    if (!s->begun)
        s->emit(s, &e);
    s->begun = true;
}

static void event_emit_line(struct event_source *s, const struct event *of, struct span line)
{
    struct event e = *of;
    if (line.len > 0 && line.data[line.len - 1] == '\r') /* IPython runs !commands on a terminal */
        line.len--;
    e.bytes = line;
    s->emit(s, &e);
}

/* Emits the lines that the text completes, and keeps what follows the last one. */
static void event_source_lines(struct event_source *s, const struct event *of)
{
    struct span text = of->bytes;
    struct buf *partial = &s->partial[of->type == EVENT_STDERR];
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t n = end != NULL ? (size_t)(end - text.data) : text.len;
        (void)buf_append(partial, text.data, n);
        if (end != NULL || partial->len >= EVENT_LINE_MAX) {
            event_emit_line(s, of, (struct span){(const char *)partial->data, partial->len});
            buf_reset(partial);
        }
        n += end != NULL;
        text = (struct span){text.data + n, text.len - n};
    }
}

/* The lines that nothing has ended. */
static void event_source_last_lines(struct event_source *s)
{
    for (unsigned int i = 0; i < 2; i++) {
        const struct event e = {.type = i == 0 ? EVENT_STDOUT : EVENT_STDERR, .is_text = true};
        struct buf *partial = &s->partial[i];
        if (partial->len > 0)
            event_emit_line(s, &e, (struct span){(const char *)partial->data, partial->len});
        buf_reset(partial);
    }
}

static int event_from_code(struct event_source *s, const struct wire_frame *frame)
{
    struct wire_code_stream stream;
    struct event e = {.seq = s->seq + 1};
    uint32_t count;
    if (wire_reply_code_begun(frame, &count)) {
        event_begin(s, count);
        return 0;
    }
    if (wire_reply_code_stream(frame, &stream)) {
        e.type = stream.is_stderr ? EVENT_STDERR : EVENT_STDOUT;
        e.time_ms = stream.time_ms;
        e.is_text = true; /* the bridge cuts between characters */
        e.bytes = stream.text;
        s->seq += s->lines;
        if (s->lines) {
            event_source_lines(s, &e);
            return 0;
        }
    } else if (wire_reply_code_data(frame, &e.data)) {
        e.type = frame->type == WIRE_CODE_RESULT ? EVENT_RESULT : EVENT_DISPLAY;
    } else if (wire_reply_code_error(frame, &e.raised)) {
        e.type = EVENT_ERROR;
    } else if (wire_reply_code_done(frame, &e.done)) {
        e.type = EVENT_DONE;
        e.seq = 0;
        event_begin(s, e.done.execution_count);
        event_source_last_lines(s);
    } else {
        return -EPROTO;
    }
    s->seq++;
    s->emit(s, &e);
    return e.type == EVENT_DONE;
}

/* A gap that the client was told of, or that lies before what it wants, is none to it. */
static void event_source_gap(struct event_source *s, uint64_t next)
{
    memset(s->tails, 0, sizeof(s->tails));
    if (next <= s->after + 1)
        return;
    s->seq = next - 1;
    const struct event e = {.type = EVENT_GAP, .seq = s->seq};
    s->emit(s, &e);
}

static int event_from_process(struct event_source *s, const struct wire_frame *frame)
{
    struct event e = {.type = EVENT_PROCESS};
    struct wire_output output;
    struct wire_exit how;
    uint64_t next;
    if (wire_reply_output(frame, &output)) {
        s->seq = output.seq;
        event_source_output(s, output.stream, output.bytes);
    } else if (wire_reply_gap(frame, &next)) {
        event_source_gap(s, next);
    } else if (wire_reply_process(frame, &e.process)) {
        /* A number from the future is one of another process that had this pid. */
        s->after = MIN(s->after, MAX(e.process.next_seq, 1ull) - 1);
        s->emit(s, &e);
    } else if (wire_reply_process_exit(frame, &how)) {
        return event_source_exit(s, &how);
    } else {
        return -EPROTO;
    }
    return 0;
}

static int event_from_watch(struct event_source *s, const struct wire_frame *frame)
{
    struct event e = {.type = EVENT_WATCHING};
    if (wire_reply_change(frame, &e.change)) {
        e.type = EVENT_CHANGE;
        e.watched = s->watched;
    }
    if (e.type == EVENT_WATCHING && !wire_reply_is(frame, WIRE_OK))
        return -EPROTO;
    s->emit(s, &e);
    return 0;
}

int event_source_feed(struct event_source *source, const struct wire_frame *frame)
{
    static int (*const takers[])(struct event_source *, const struct wire_frame *) = {
        [EVENTS_OF_COMMAND] = event_from_command,
        [EVENTS_OF_CODE] = event_from_code,
        [EVENTS_OF_PROCESS] = event_from_process,
        [EVENTS_OF_WATCH] = event_from_watch,
    };
    int rv = takers[source->kind](source, frame);
    bool failed = source->joined.failed || source->partial[0].failed || source->partial[1].failed;
    return failed ? -EPROTO : rv;
}

void event_source_done(struct event_source *source)
{
    buf_done(&source->joined);
    buf_done(&source->partial[0]);
    buf_done(&source->partial[1]);
}
