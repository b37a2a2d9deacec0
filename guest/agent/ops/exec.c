/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - EXEC: a process (process.h) that belongs to this connection. The process waits when the
 * server does not read, ends when the server closes, and is forgotten with its EXIT.
 *
 * What it waits for is in the tables of process.h and feed.h.
 */
#include <errno.h>

#include "agent/agent.h"
#include "agent/ops/ops.h"
#include "agent/process/feed.h"
#include "agent/process/launch.h"

static void exec_start(struct conn *c, struct request *req)
{
    struct launch_error error;
    struct feed *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        conn_errno(c, -ENOMEM, "cannot start the command");
        return;
    }
    c->op_state = f;
    struct process *p = launch_process(c->agent, req, "", PROCESS_OWNED_RING, &error);
    if (p == NULL)
        conn_error(c, error.code, "%s", error.message);
    else
        feed_start(f, p, c, 0, true, false);
}

static void exec_frame(struct conn *c, const struct wire_frame *f)
{
    feed_frame(c->op_state, f);
}

static void exec_writable(struct conn *c)
{
    feed_writable(c->op_state);
}

static void exec_stop(struct conn *c)
{
    struct feed *f = c->op_state;
    struct process *p = f != NULL ? f->reader.process : NULL;
    if (f == NULL)
        return;
    bool failed = p != NULL && p->state == PROCESS_FAILED; /* it goes with its last reader */
    feed_stop(f);
    if (p != NULL && !failed)
        processes_forget(p);
}

const struct op op_exec = {
    .type = WIRE_EXEC,
    .start = exec_start,
    .frame = exec_frame,
    .writable = exec_writable,
    .stop = exec_stop,
};
