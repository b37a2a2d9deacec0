/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.c - the standard input of a process: a queue of pieces, written in their order.
 *
 * A piece is answered when all of it is in the pipe or terminal, so whoever sends bytes is as slow
 * as the process that reads them. PROCESS_INPUT_MAX bounds what waits.
 * Possible failure modes are: the process closes its input or ends (all pieces fail).
 */
#include "agent/process/process.h"

#include <errno.h>

#include "agent/process/table.h"
#include "agent/process/terminal.h"

static void process_input_finish(struct process *p, struct process_input *in, int rv)
{
    process_input_cancel(p, in);
    in->done(in, rv);
}

void process_input_close(struct process *p, int rv)
{
    loop_close(p->table->loop, &p->in);
    while (!list_empty(&p->inputs))
        process_input_finish(p, list_first(&p->inputs, struct process_input, node), rv);
}

/* The end of a pipe is its close. A terminal stays open: its end is a character. 0, or -EAGAIN: the
 * terminal takes nothing now. */
static int process_input_end(struct process *p)
{
    if (!(p->flags & WIRE_PROCESS_PTY)) {
        p->input_ended = true;
        loop_close(p->table->loop, &p->in);
        return 0;
    }
    return terminal_put_end(p->in.fd);
}

/* 0: all of the piece is written; -EAGAIN; or -EPIPE. */
static int process_input_write(struct process *p, struct process_input *in)
{
    while (in->len > 0) {
        ssize_t n = write(p->in.fd, in->data, in->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -EAGAIN : -EPIPE;
        in->data += n;
        in->len -= (size_t)n;
        p->inputs_len -= (size_t)n;
    }
    return in->end ? process_input_end(p) : 0;
}

static void process_input_feed(struct process *p)
{
    while (p->in.fd >= 0 && !list_empty(&p->inputs)) {
        struct process_input *in = list_first(&p->inputs, struct process_input, node);
        int rv = process_input_write(p, in);
        if (rv == -EAGAIN)
            break;
        if (rv < 0) {
            process_input_close(p, -EPIPE);
            return;
        }
        process_input_finish(p, in, 0);
    }
    if (p->in.fd < 0)
        process_input_close(p, -EPIPE); /* pieces behind the end */
    else if (loop_watch(p->table->loop, &p->in, list_empty(&p->inputs) ? 0 : EPOLLOUT) < 0)
        process_input_close(p, -EPIPE);
}

int process_input_add(struct process *p, struct process_input *in)
{
    if (!(p->flags & (WIRE_EXEC_STDIN | WIRE_PROCESS_PTY)) || (p->input_ended && in->len > 0))
        return -EINVAL;
    if (process_is_over(p) || !p->alive)
        return -ESRCH;
    if (in->len > PROCESS_INPUT_MAX - MIN(p->inputs_len, PROCESS_INPUT_MAX))
        return -EBUSY;
    list_add_tail(&p->inputs, &in->node);
    p->inputs_len += in->len;
    process_input_feed(p);
    return 0;
}

void process_input_cancel(struct process *p, struct process_input *in)
{
    if (list_empty(&in->node))
        return;
    list_del(&in->node);
    p->inputs_len -= in->len;
}

void process_handle_stdin(struct source *s, uint32_t events)
{
    struct process *p = container_of(s, struct process, in);
    if (events & EPOLLERR)
        process_input_close(p, -EPIPE);
    else
        process_input_feed(p);
}
