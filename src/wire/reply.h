/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - the replies of wire.h, decoded: one decoder each, and no other place of the server
 * knows their fields. Pure functions, no I/O.
 *
 * What comes out of a sandbox is hostile. A decoder takes a frame only when it has that type, its
 * fields fill the payload exactly, and each number that stands for one of a few things is one of
 * them. Otherwise it returns false and the owner of the call reports the frame with
 * agent_call_bad_frame; what it has written to the result by then means nothing.
 *
 * Spans point into the frame and are valid as long as it is. Their text is not checked: it may hold
 * NUL and may not be UTF-8. STDOUT, STDERR and DATA are raw bytes and need no decoder.
 */
#ifndef CORRAL_WIRE_REPLY_H
#define CORRAL_WIRE_REPLY_H

#include "base/error.h"
#include "base/wire_codec.h"

/* WIRE_ERROR. */
struct wire_failure {
    enum wire_error code;
    struct span message;
};

struct wire_exit {
    int32_t code;
    uint32_t signal; /* 0: none */
    enum wire_cause cause;
    bool timed_out; /* that is the cause */
    uint64_t duration_us;
};

struct wire_kept {
    uint64_t ran_us;
    bool ended;
};

/* STAT and ENTRY. */
struct wire_stat {
    struct span name, path;
    uint64_t size;
    enum wire_kind kind;
    uint32_t mode;
    int64_t mtime_ns;
};

/* Of a link itself. */
struct wire_info {
    struct wire_stat stat;
    uint32_t uid, gid;
    struct span owner, group; /* names, or the numbers */
    uint32_t target_kind;     /* enum wire_kind of what a link leads to, 0: none or nowhere */
    struct span target;       /* path a link leads to */
    struct cursor attributes; /* extended ones, "name=value", read with wire_next_word */
};

struct wire_match {
    struct span path, text; /* `text` is the line, or its beginning */
    uint64_t line, column;  /* from 1, in bytes */
};

struct wire_replaced {
    struct span path;
    uint64_t count;
};

/* The end of a search. */
struct wire_found {
    uint64_t files, count; /* searched; matches or replacements */
    bool cut;              /* at a limit */
};

struct wire_changed {
    enum wire_change what;
    uint32_t kind; /* enum wire_kind, 0: unknown */
    struct span path, new_path;
};

struct wire_written {
    struct span path;
    uint64_t size;
};

struct wire_unpacked {
    uint64_t entries, bytes;
};

struct wire_code_stream {
    bool is_stderr;
    int64_t time_ms; /* wall clock */
    struct span text;
};

/* CODE_RESULT and CODE_DISPLAY. */
struct wire_code_data {
    uint32_t execution_count; /* of a display 0 */
    struct span bundle;       /* a JSON object mime type -> data, if the sandbox is honest */
};

struct wire_code_error {
    struct span name, value, traceback;
};

struct wire_code_done {
    enum wire_code_status status;
    uint32_t execution_count;
    struct wire_exit how; /* of the kernel's process, when it died */
};

struct wire_context {
    struct span id, language, cwd, status;
    int64_t created_ms, expires_ms, last_used_ms; /* wall clock */
};

/* PROCESS. `argv` is read with wire_next_word. */
struct wire_process {
    uint64_t id;
    uint32_t pid; /* inside the sandbox */
    struct span tag, cwd;
    struct cursor argv;
    uint32_t flags; /* WIRE_EXEC_*, WIRE_PROCESS_PTY */
    int64_t started_ms;
    uint64_t first_seq, next_seq; /* of output that is kept, and of what comes */
    bool ended;
    struct wire_exit exit;  /* once it has ended */
    uint32_t columns, rows; /* of a terminal; 0: an older agent does not say */
};

struct wire_output {
    uint64_t seq;
    enum wire_stream stream;
    struct span bytes;
};

/* A frame of this type without payload: OK, END. */
bool wire_reply_is(const struct wire_frame *frame, enum wire_type type);
bool wire_reply_pong(const struct wire_frame *frame);
/* `age_us` is the time since the agent set the clock, 0 when it cannot set it. */
bool wire_reply_configured(const struct wire_frame *frame, uint64_t *age_us);
bool wire_reply_exit(const struct wire_frame *frame, struct wire_exit *ret);
bool wire_reply_process(const struct wire_frame *frame, struct wire_process *ret);
/* The next element of a list that a decoder has checked; false after the last one. */
bool wire_next_word(struct cursor *list, struct span *ret);
bool wire_reply_output(const struct wire_frame *frame, struct wire_output *ret);
bool wire_reply_gap(const struct wire_frame *frame, uint64_t *next_seq);
bool wire_reply_process_exit(const struct wire_frame *frame, struct wire_exit *ret);
bool wire_reply_kept(const struct wire_frame *frame, struct wire_kept *ret);
bool wire_reply_stat(const struct wire_frame *frame, struct wire_stat *ret);
bool wire_reply_info(const struct wire_frame *frame, struct wire_info *ret);
bool wire_reply_match(const struct wire_frame *frame, struct wire_match *ret);
bool wire_reply_replaced(const struct wire_frame *frame, struct wire_replaced *ret);
bool wire_reply_found(const struct wire_frame *frame, struct wire_found *ret);
bool wire_reply_change(const struct wire_frame *frame, struct wire_changed *ret);
bool wire_reply_written(const struct wire_frame *frame, struct wire_written *ret);
bool wire_reply_unpacked(const struct wire_frame *frame, struct wire_unpacked *ret);
bool wire_reply_code_stream(const struct wire_frame *frame, struct wire_code_stream *ret);
bool wire_reply_code_data(const struct wire_frame *frame, struct wire_code_data *ret);
bool wire_reply_code_error(const struct wire_frame *frame, struct wire_code_error *ret);
bool wire_reply_code_begun(const struct wire_frame *frame, uint32_t *execution_count);
bool wire_reply_code_done(const struct wire_frame *frame, struct wire_code_done *ret);
/* What clients are told of a kernel that died. */
#define WIRE_DEATH_TEXT_MAX 160
void wire_reply_death(const struct wire_code_done *done, char ret[WIRE_DEATH_TEXT_MAX]);
/* What they are told of a command whose cause is WIRE_CAUSE_MEMORY. */
#define WIRE_NO_MEMORY_TEXT "The command was killed (oom): the sandbox's memory is full"
bool wire_reply_context(const struct wire_frame *frame, struct wire_context *ret);
bool wire_reply_failure(const struct wire_frame *frame, struct wire_failure *ret);
/* What clients are told of a WIRE_ERROR frame; ERROR_INTERNAL of a malformed one. */
void wire_reply_error(const struct wire_frame *frame, struct error *ret);

#endif
