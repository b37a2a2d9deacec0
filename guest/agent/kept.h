/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.h - operations that outlive the server's connection: an EXEC or CODE_RUN runs under a key,
 * its answer is recorded, and connections attach to the record.
 *
 * A kept command is a process (process/process.h) with the key as its tag. Its ring is the record,
 * and attached connections are feeds. Of a kept code run the agent itself is the client: it holds
 * the other end of a socket pair, so that ops/code.c sees a server that reads at once and never
 * closes. The answer is recorded in whole frames (the journal).
 *
 * state    waits for                                  at most
 * RUNNING  the operation's last frame                 the operation's own time-out, which KEEP
 *                                                     requires
 * ENDED    FORGET, or newer ones that need the room   -
 *
 * Bounds: KEPT_MAX operations; of each, `keep` bytes of each kind of output; KEPT_TOTAL bytes in
 * all. Once a frame of a kind has no room, the rest of that kind is left out; the last frame is
 * always recorded. The record that ended first is dropped to make room. Its key is remembered, so
 * that ATTACH can tell a lost record from an operation that never began.
 */
#ifndef CORRAL_AGENT_KEPT_H
#define CORRAL_AGENT_KEPT_H

#include "agent/process/feed.h"

#define KEPT_MAX   64
#define KEPT_TOTAL (32u << 20)

struct agent;

enum kept_kind { KEPT_STDOUT, KEPT_STDERR, KEPT_RESULT, KEPT_DISPLAY, KEPT_ERROR, KEPT_KINDS };

/* The answer of a code run, as far as it has come; of a command that did not start, the error. */
struct kept_journal {
    struct buf frames;
    size_t whole; /* bytes that are whole frames */
    /* The frame that is arriving. */
    uint8_t head[WIRE_HEADER_SIZE + 1]; /* and, of CODE_STREAM, the stream's number */
    size_t head_len;
    size_t body_left;
    bool in_body, recording, last;
};

struct kept {
    struct source source; /* first; of a code run, -1 once ENDED */
    struct agent *agent;
    struct list node; /* in kepts->list */
    struct list views;
    struct deferred deferred;
    char key[WIRE_MAX_KEY + 1];
    uint64_t started_at, ended_at; /* us, monotonic; ended_at 0: it runs */
    size_t bytes;                  /* recorded */
    size_t room[KEPT_KINDS];       /* bytes that may still be recorded */
    struct process_reader command; /* its `process` is NULL unless this is a command */
    struct buf request;            /* of a code run: the part that the operation has not read yet */
    struct kept_journal journal;
};

struct kepts {
    struct agent *agent;
    struct list list; /* oldest first; those that ended are in the order of their ends */
    unsigned int count;
    size_t bytes;                          /* recorded of all */
    char lost[KEPT_MAX][WIRE_MAX_KEY + 1]; /* keys of dropped records; a ring */
    unsigned int next_lost;
};

/* An attached connection. Embedded in its op_state. */
struct kept_view {
    struct list node;  /* in kept->views */
    struct kept *kept; /* NULL: no longer attached */
    struct conn *conn;
    struct feed feed; /* of a command */
    size_t sent;      /* bytes of the journal */
};

void kepts_init(struct kepts *s, struct agent *agent);
void kepts_done(struct kepts *s);

struct kept *kept_find(struct kepts *s, const char *key);
bool kept_was_lost(const struct kepts *s, const char *key);
/* Starts the request in `frame`. 0; -EEXIST: the key is in use; -EBUSY: KEPT_MAX run; or another
 * negative errno. */
int kept_start(struct kepts *s, const char *key, uint32_t keep, const struct wire_frame *frame,
               struct kept **ret);
/* Ends it if it runs. Attached connections get an error. */
void kept_forget(struct kept *k);
void kept_handle_event(struct source *s, uint32_t events);

/* For journal.c. Whether `len` more bytes may be recorded. Once they may not, all later ones of the
 * kind may not either. */
bool kept_take_room(struct kept *k, enum kept_kind kind, size_t len);
void kept_end(struct kept *k);

/* Sends KEPT and the record, now and as it grows; finishes the connection after the last frame. */
void kept_view_start(struct kept_view *v, struct kept *k, struct conn *c);
void kept_view_advance(struct kept_view *v); /* for op->writable */
void kept_view_stop(struct kept_view *v);    /* idempotent */

#endif
