/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - PROCESS_START and what is said to a process in one step: PROCESS_INPUT, _SIGNAL,
 * _RESIZE and _FORGET. PROCESS_LIST.
 *
 * request    waits for                                   at most
 * START      the status pipe of the process              the process's own limits. The process
 *                                                        lives on when the server closes
 * INPUT      its bytes to be in the pipe or terminal     as long as the process does not read
 * LIST       the server to read                          CONN_STALL_US without progress
 * the rest   nothing                                     -
 */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/ops/ops.h"
#include "agent/process/feed.h"
#include "agent/process/launch.h"

static void process_answer_ok(struct conn *c)
{
    (void)wire_put_frame(&c->out, WIRE_OK, NULL, 0);
    conn_finish(c);
}

/* The process that the request names, or NULL and an ERROR. */
static struct process *process_find(struct conn *c, const struct request *req)
{
    const struct process_name name = {.id = req->id, .pid = req->pid, .tag = req->tag};
    struct process *p = processes_find(&c->agent->processes, &name);
    if (p == NULL)
        conn_error(c, WIRE_E_NOT_FOUND, "there is no such process");
    return p;
}

struct starting {
    struct process_reader reader;
    struct conn *conn;
};

static void process_started(struct process_reader *r)
{
    struct starting *s = container_of(r, struct starting, reader);
    struct process *p = r->process;
    char message[256];
    if (p == NULL) {
        conn_error(s->conn, WIRE_E_NOT_FOUND, "the process was forgotten");
    } else if (p->state == PROCESS_FAILED) {
        enum wire_error code = feed_describe_failure(p, WIRE_E_INVALID, message, sizeof(message));
        conn_error(s->conn, code, "%s", message);
    } else if (p->state != PROCESS_SPAWNING) {
        feed_put_process(&s->conn->out, p);
        conn_finish(s->conn);
    }
}

static void process_start_start(struct conn *c, struct request *req)
{
    struct launch_error error;
    struct starting *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        conn_errno(c, -ENOMEM, "cannot start the process");
        return;
    }
    s->conn = c;
    s->reader.wake = process_started;
    c->op_state = s;
    struct process *p = launch_process(c->agent, req, req->tag,
                                       req->keep != 0 ? req->keep : WIRE_PROCESS_RING, &error);
    if (p == NULL)
        conn_error(c, error.code, "%s", error.message);
    else
        process_attach(p, &s->reader, 0, false);
}

static void process_start_stop(struct conn *c)
{
    struct starting *s = c->op_state;
    if (s != NULL)
        process_detach(&s->reader);
}

const struct op op_process_start = {
    .type = WIRE_PROCESS_START, .start = process_start_start, .stop = process_start_stop};

struct listing {
    uint64_t last; /* id of the process that was sent last */
};

static void process_list_send(struct conn *c)
{
    struct listing *l = c->op_state;
    struct process *p = NULL;
    while (conn_writable(c) && (p = processes_next(&c->agent->processes, l->last)) != NULL) {
        l->last = p->id;
        feed_put_process(&c->out, p);
    }
    if (p == NULL && conn_writable(c)) {
        (void)wire_put_frame(&c->out, WIRE_END, NULL, 0);
        conn_finish(c);
    } else {
        conn_kick(c);
    }
}

static void process_list_start(struct conn *c, struct request *req)
{
    c->op_state = calloc(1, sizeof(struct listing));
    if (c->op_state == NULL) {
        conn_errno(c, -ENOMEM, "cannot list");
        return;
    }
    conn_limit_stall(c);
    process_list_send(c);
}

const struct op op_process_list = {
    .type = WIRE_PROCESS_LIST, .start = process_list_start, .writable = process_list_send};

struct typing {
    struct process_input input;
    struct process *process; /* NULL: the input is not queued */
    struct conn *conn;
    struct buf bytes;
};

static void process_typed(struct process_input *in, int rv)
{
    struct typing *t = container_of(in, struct typing, input);
    t->process = NULL;
    if (rv == -EPIPE)
        conn_error(t->conn, WIRE_E_UNAVAILABLE, "the process has closed its standard input");
    else if (rv < 0)
        conn_error(t->conn, WIRE_E_NOT_FOUND, "the process has ended");
    else
        process_answer_ok(t->conn);
}

static void process_input_start(struct conn *c, struct request *req)
{
    struct process *p = process_find(c, req);
    struct typing *t = p != NULL ? calloc(1, sizeof(*t)) : NULL;
    if (p == NULL)
        return;
    if (t == NULL || buf_append(&t->bytes, req->data.data, req->data.len) < 0) {
        free(t);
        conn_errno(c, -ENOMEM, "cannot write");
        return;
    }
    c->op_state = t;
    t->conn = c;
    t->process = p;
    t->input = (struct process_input){.data = t->bytes.data,
                                      .len = t->bytes.len,
                                      .end = (req->flags & WIRE_INPUT_EOF) != 0,
                                      .done = process_typed};
    list_init(&t->input.node);
    int rv = process_input_add(p, &t->input);
    if (rv == 0)
        return;
    t->process = NULL;
    if (rv == -EINVAL)
        conn_error(c, WIRE_E_INVALID, "the process has no standard input, or it was ended");
    else if (rv == -EBUSY)
        conn_error(c, WIRE_E_BUSY, "too much input waits for the process");
    else
        conn_error(c, WIRE_E_NOT_FOUND, "the process has ended");
}

static void process_input_stop(struct conn *c)
{
    struct typing *t = c->op_state;
    if (t == NULL)
        return;
    if (t->process != NULL)
        process_input_cancel(t->process, &t->input);
    t->process = NULL;
    buf_done(&t->bytes);
}

const struct op op_process_input = {
    .type = WIRE_PROCESS_INPUT, .start = process_input_start, .stop = process_input_stop};

static void process_answer(struct conn *c, int rv, const char *what)
{
    if (rv == 0)
        process_answer_ok(c);
    else if (rv == -ESRCH)
        conn_error(c, WIRE_E_NOT_FOUND, "the process has ended");
    else
        conn_errno(c, rv, what);
}

static void process_signal_start(struct conn *c, struct request *req)
{
    struct process *p = process_find(c, req);
    if (p != NULL)
        process_answer(c, process_signal(p, (int)req->signal, (enum wire_scope)req->scope),
                       "cannot send the signal");
}

const struct op op_process_signal = {.type = WIRE_PROCESS_SIGNAL, .start = process_signal_start};

static void process_resize_start(struct conn *c, struct request *req)
{
    struct process *p = process_find(c, req);
    if (p != NULL)
        process_answer(c, process_resize(p, (uint16_t)req->columns, (uint16_t)req->rows),
                       "cannot resize the terminal");
}

const struct op op_process_resize = {.type = WIRE_PROCESS_RESIZE, .start = process_resize_start};

static void process_forget_start(struct conn *c, struct request *req)
{
    struct process *p = process_find(c, req);
    if (p == NULL)
        return;
    processes_forget(p);
    process_answer_ok(c);
}

const struct op op_process_forget = {.type = WIRE_PROCESS_FORGET, .start = process_forget_start};
