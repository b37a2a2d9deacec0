/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed.h - a connection that reads a process, and types into it.
 *
 * state     waits for                                     at most
 * WAITING   the process to have started                   the process's own limits
 * READING   records, room in the connection's output      as long as the process lives
 *
 * It answers as EXEC does (STARTED, STDOUT and STDERR, EXIT) or as PROCESS_ATTACH does (PROCESS,
 * OUTPUT and GAP, PROCESS_EXIT), and finishes the connection after the last record.
 */
#ifndef CORRAL_AGENT_PROCESS_FEED_H
#define CORRAL_AGENT_PROCESS_FEED_H

#include "agent/conn.h"
#include "agent/process/table.h"

struct feed {
    struct process_reader reader;
    struct process_input input; /* one frame at most; the next ones wait in the connection */
    struct buf pending;         /* its bytes */
    struct conn *conn;
    bool numbered; /* as PROCESS_ATTACH */
    bool begun;
    bool typing; /* `input` is queued */
};

/* Embedded in the op_state of `c`. With `own` the process waits for this connection. */
void feed_start(struct feed *f, struct process *p, struct conn *c, uint64_t from, bool own,
                bool numbered);
void feed_writable(struct feed *f); /* for op->writable */
/* For op->frame: STDIN, STDIN_EOF, SIGNAL, RESIZE. */
void feed_frame(struct feed *f, const struct wire_frame *frame);
/* The process is not read any more; it lives on. Idempotent. */
void feed_stop(struct feed *f);

/* The frames of a process. */
void feed_put_process(struct buf *out, const struct process *p);
/* Why a process FAILED. `directory`: the code for a missing working directory, or 0: what its errno
 * says. */
enum wire_error feed_describe_failure(const struct process *p, enum wire_error directory,
                                      char *message, size_t cap);

#endif
