/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - an operation on many files, done by a child of the agent.
 *
 * The child has the user's rights for files, a limit of memory and of processor time, and a pipe to
 * the agent. It may block, take long and fail as it likes: the loop only passes its frames on, and
 * ends it when the connection closes.
 *
 * state     waits for                                   at most
 * WORKING   frames of the child; the server to read     WORKER_US; a server that does not read:
 *                                                       CONN_STALL_US without progress
 *
 * Possible failure modes are: the child dies without a last frame (ERROR).
 */
#ifndef CORRAL_AGENT_WORKER_H
#define CORRAL_AGENT_WORKER_H

#include "agent/conn.h"

#define WORKER_US        (600 * 1000000ull)
#define WORKER_MEMORY    (512u << 20)
#define WORKER_CPU_S     300
#define WORKER_SEARCH_US (60 * 1000000ull) /* after that a search ends, which FOUND says */

struct account;

/* What the job runs with, in the child. */
struct worker {
    const struct account *account;
    const struct request *req;
    struct buf out;
    int fd;         /* the pipe */
    uint64_t until; /* us, monotonic: for searches */
};

/* Does the job with the user's rights. The last frame is sent by the caller: for 0 nothing if the
 * job has sent it, for a negative errno an ERROR that names the request's path. */
struct worker_job {
    int (*run)(struct worker *w);
};

/* For op->start. */
void worker_start(struct conn *c, struct request *req, const struct worker_job *job);
void worker_writable(struct conn *c); /* for op->writable */
void worker_stop(struct conn *c);     /* for op->stop */
void worker_handle_event(struct source *s);

/* For jobs. Sends what is in w->out once it is large; with `all` in any case. The agent's end of
 * the pipe gone ends the child. */
void worker_flush(struct worker *w, bool all);
void worker_ok(struct worker *w);

#endif
