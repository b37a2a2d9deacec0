/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.c - PROCESS_ATTACH: a connection that reads a process (feed.h). With OWN the process waits
 * for it and ends with it; the record stays.
 */
#include <errno.h>

#include "agent/agent.h"
#include "agent/ops/ops.h"
#include "agent/process/feed.h"

static void process_attach_start(struct conn *c, struct request *req)
{
    const struct process_name name = {.id = req->id, .pid = req->pid, .tag = req->tag};
    struct process *p = processes_find(&c->agent->processes, &name);
    if (p == NULL) {
        conn_error(c, WIRE_E_NOT_FOUND, "there is no such process");
        return;
    }
    struct feed *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        conn_errno(c, -ENOMEM, "cannot attach");
        return;
    }
    c->op_state = f;
    feed_start(f, p, c, req->seq, (req->flags & WIRE_ATTACH_OWN) != 0, true);
}

static void process_attach_frame(struct conn *c, const struct wire_frame *f)
{
    feed_frame(c->op_state, f);
}

static void process_attach_writable(struct conn *c)
{
    feed_writable(c->op_state);
}

static void process_attach_stop(struct conn *c)
{
    struct feed *f = c->op_state;
    if (f == NULL)
        return;
    struct process *p = f->reader.process;
    if (p != NULL && f->reader.own)
        process_kill(p, WIRE_CAUSE_KILLED);
    feed_stop(f);
}

const struct op op_process_attach = {
    .type = WIRE_PROCESS_ATTACH,
    .start = process_attach_start,
    .frame = process_attach_frame,
    .writable = process_attach_writable,
    .stop = process_attach_stop,
};
