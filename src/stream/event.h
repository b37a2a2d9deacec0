/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.h - what a run says, as one type, whatever runs: a command, code, or a process.
 *
 * An `event_source` turns the agent's replies into events. An `event_writer` turns events into the
 * bytes of one client's protocol; each protocol is one file that defines one or more writers. Both
 * are pure: who moves the bytes (api/feed.h) is their caller.
 */
#ifndef CORRAL_STREAM_EVENT_H
#define CORRAL_STREAM_EVENT_H

#include "wire/reply.h"

enum event_type {
    EVENT_PROCESS, /* what is attached to; the first one of a process */
    EVENT_STDOUT,
    EVENT_STDERR,
    EVENT_TERMINAL, /* output of a terminal */
    EVENT_BEGUN,    /* of code: the first one, with its number */
    EVENT_RESULT,   /* of code: the value of the last line */
    EVENT_DISPLAY,  /* of code: shown data */
    EVENT_ERROR,    /* of code: what it raised */
    EVENT_WATCHING, /* of a watched directory: from now on nothing is missed */
    EVENT_CHANGE,   /* likewise */
    EVENT_GAP,      /* output before this was lost */
    EVENT_EXIT,     /* the last one of a command or process */
    EVENT_DONE,     /* the last one of code */
    EVENT_FAILED,   /* the last one of a run that cannot be told to its end */
};

struct event {
    enum event_type type;
    uint64_t seq;    /* a stream resumes behind it; 0: not behind this one */
    int64_t time_ms; /* of output of code: wall clock; else 0 */
    bool is_text;    /* output: whole characters; otherwise any bytes */
    union {
        struct span bytes; /* output */
        struct wire_process process;
        uint32_t count;             /* EVENT_BEGUN */
        struct wire_code_data data; /* EVENT_RESULT, EVENT_DISPLAY */
        struct wire_code_error raised;
        struct {
            struct wire_changed change;
            const char *watched; /* what the paths are below; NULL: the reader knows */
        };
        struct wire_exit exit;
        struct wire_code_done done;
        const struct error *failure;
    };
};

enum event_kind { EVENTS_OF_COMMAND, EVENTS_OF_CODE, EVENTS_OF_PROCESS, EVENTS_OF_WATCH };

/* The beginning of a character whose rest has not come. */
struct event_tail {
    uint8_t bytes[4];
    size_t len;
};

struct event_source {
    enum event_kind kind;
    bool text;      /* output is cut between characters; a terminal's never is */
    uint64_t after; /* output up to this number was told before and is not told again */
    /* Of code: each event of output is one line, without its break; `emit` hears the last one with
     * the end. A line longer than EVENT_LINE_MAX comes in pieces. */
    bool lines;
    const char *watched; /* of a watched directory: its path, for the events. Not owned */
    void (*emit)(struct event_source *source, const struct event *event);
    uint64_t seq; /* of the last output */
    bool begun;   /* of code: EVENT_BEGUN was told, if only when the run was over */
    struct event_tail tails[WIRE_STREAM_PTY];
    struct buf joined;
    struct buf partial[2]; /* lines of stdout and stderr whose ends have not come */
};

#define EVENT_LINE_MAX 65536
/* Numbers that a resumed stream asks for again: a character may have begun in one of them. */
#define EVENT_LOOK_BACK 8
/* What to ask the agent for so that the stream continues behind `after`, which may be WIRE_SEQ_NOW.
 */
uint64_t event_first_wanted(uint64_t after);

/* Takes one reply and emits what it says. 1 after the last one of the run, 0 before, -EPROTO when
 * the frame is malformed or not allowed in such a run. */
int event_source_feed(struct event_source *source, const struct wire_frame *frame);
void event_source_done(struct event_source *source);

struct event_writer {
    const char *content_type;
    unsigned int keepalive_ms; /* silence after which a sign of life is due */
    void (*event)(struct buf *out, const struct event *event);
    void (*keepalive)(struct buf *out);
};

/* Server-sent events, one JSON document each. They differ in the names of fields. */
extern const struct event_writer event_sse_command; /* of all but code: "data" */
extern const struct event_writer event_sse_code;    /* code: "text" */
/* One JSON document a line, all ASCII; code only. */
extern const struct event_writer event_ndjson_code;

#endif
