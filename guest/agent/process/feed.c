/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c - see feed.h. */
#include "agent/process/feed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"

static void feed_put_ending(struct buf *out, const struct process *p)
{
    (void)buf_u32(out, (uint32_t)p->exit_code);
    (void)buf_u32(out, (uint32_t)p->exit_signal);
    (void)buf_u32(out, (uint32_t)p->cause);
    (void)buf_u64(out, p->duration);
}

void feed_put_process(struct buf *out, const struct process *p)
{
    size_t start = wire_begin(out, WIRE_PROCESS);
    (void)buf_u64(out, p->id);
    (void)buf_u32(out, (uint32_t)p->pid);
    wire_put_str(out, p->tag);
    wire_put_list(out, (const char *const *)(uintptr_t)p->argv);
    wire_put_str(out, p->cwd);
    (void)buf_u32(out, p->flags);
    (void)buf_u64(out, (uint64_t)p->started_ms);
    (void)buf_u64(out, p->ring.first);
    (void)buf_u64(out, p->ring.next);
    (void)buf_u32(out, p->state == PROCESS_ENDED);
    if (p->state == PROCESS_ENDED)
        feed_put_ending(out, p);
    if (p->flags & WIRE_PROCESS_PTY) {
        (void)buf_u32(out, p->columns);
        (void)buf_u32(out, p->rows);
    }
    wire_end(out, start);
}

enum wire_error feed_describe_failure(const struct process *p, enum wire_error directory,
                                      char *message, size_t cap)
{
    const struct process_failure *f = &p->failure;
    if (f->errnum == 0) {
        (void)snprintf(message, cap, "%s", f->what);
        return WIRE_E_INTERNAL;
    }
    (void)snprintf(message, cap, "%s: %s", f->what, strerror(-f->errnum));
    return f->directory && directory != 0 ? directory : conn_error_code(f->errnum);
}

static void feed_begin(struct feed *f)
{
    struct buf *out = &f->conn->out;
    f->begun = true;
    if (f->numbered) {
        feed_put_process(out, f->reader.process);
        return;
    }
    size_t start = wire_begin(out, WIRE_STARTED);
    (void)buf_u32(out, (uint32_t)f->reader.process->pid);
    wire_end(out, start);
}

static void feed_put_record(struct feed *f, const struct ring_record *rec, bool gap)
{
    struct buf *out = &f->conn->out;
    if (!f->numbered) {
        (void)wire_put_frame(out, rec->stream == WIRE_STREAM_STDERR ? WIRE_STDERR : WIRE_STDOUT,
                             rec->data, rec->len);
        return;
    }
    if (gap) {
        size_t at = wire_begin(out, WIRE_GAP);
        (void)buf_u64(out, f->reader.next - 1);
        wire_end(out, at);
    }
    size_t start = wire_begin(out, WIRE_OUTPUT);
    (void)buf_u64(out, f->reader.next - 1);
    (void)buf_u32(out, (uint32_t)rec->stream);
    (void)buf_append(out, rec->data, rec->len);
    wire_end(out, start);
}

/* All was read: the end, if there is one. `gap`: records before it are lost. */
static void feed_put_end(struct feed *f, bool gap)
{
    struct process *p = f->reader.process;
    struct buf *out = &f->conn->out;
    if (gap && f->numbered) {
        size_t at = wire_begin(out, WIRE_GAP);
        (void)buf_u64(out, f->reader.next);
        wire_end(out, at);
    }
    if (p->state != PROCESS_ENDED) {
        conn_kick(f->conn);
        return;
    }
    size_t start = wire_begin(out, f->numbered ? WIRE_PROCESS_EXIT : WIRE_EXIT);
    feed_put_ending(out, p);
    wire_end(out, start);
    conn_finish(f->conn);
}

/* Whether one more record may be appended. Asked again after a send: op->writable is called for
 * bytes that the socket did not take, and the last send may have taken all. */
static bool feed_has_room(struct feed *f)
{
    if (conn_unsent(f->conn) >= WIRE_CHUNK)
        conn_kick(f->conn); /* may close the connection, which stops the feed */
    return f->reader.process != NULL && conn_writable(f->conn);
}

/* Sends what there is as far as the connection takes it. */
static void feed_advance(struct feed *f)
{
    while (feed_has_room(f)) {
        bool gap;
        const struct ring_record *rec = process_read(&f->reader, &gap);
        if (rec == NULL) {
            feed_put_end(f, gap);
            break;
        }
        feed_put_record(f, rec, gap);
    }
    if (f->reader.process != NULL && f->reader.own)
        process_resume(f->reader.process);
}

static void feed_wake(struct process_reader *r)
{
    struct feed *f = container_of(r, struct feed, reader);
    if (r->process == NULL) {
        conn_error(f->conn, WIRE_E_NOT_FOUND, "the process was forgotten");
        return;
    }
    if (r->process->state == PROCESS_FAILED) {
        char message[256];
        enum wire_error code = feed_describe_failure(r->process, 0, message, sizeof(message));
        conn_error(f->conn, code, "%s", message);
        return;
    }
    if (r->process->state == PROCESS_SPAWNING)
        return;
    if (!f->begun)
        feed_begin(f);
    feed_advance(f);
}

static void feed_typed(struct process_input *in, int rv)
{
    struct feed *f = container_of(in, struct feed, input);
    f->typing = false;
    buf_reset(&f->pending);
    conn_pause_input(f->conn, false);
}

void feed_start(struct feed *f, struct process *p, struct conn *c, uint64_t from, bool own,
                bool numbered)
{
    *f = (struct feed){.conn = c, .numbered = numbered};
    f->reader.wake = feed_wake;
    f->input.done = feed_typed;
    list_init(&f->input.node);
    process_attach(p, &f->reader, from, own);
}

void feed_writable(struct feed *f)
{
    if (f->reader.process != NULL && f->begun)
        feed_advance(f);
}

/* One frame waits at most: a process that does not read its input stops the server and does not
 * fill the agent's memory. */
static void feed_type(struct feed *f, const struct wire_frame *frame)
{
    if (buf_append(&f->pending, frame->payload, frame->len) < 0) {
        conn_close(f->conn);
        return;
    }
    f->input.data = f->pending.data;
    f->input.len = f->pending.len;
    f->input.end = frame->type == WIRE_STDIN_EOF;
    f->typing = true;
    int rv = process_input_add(f->reader.process, &f->input);
    if (rv == -EINVAL) {
        conn_error(f->conn, WIRE_E_PROTOCOL, "the process has no standard input");
    } else if (rv == -EBUSY) {
        conn_error(f->conn, WIRE_E_BUSY, "too much input waits for the process");
    } else if (rv < 0) {
        feed_typed(&f->input, rv); /* it has ended: nobody reads this */
    } else if (f->typing) {
        conn_pause_input(f->conn, true);
    }
}

static void feed_control(struct feed *f, const struct wire_frame *frame)
{
    struct cursor c = cursor_on(frame->payload, frame->len);
    uint32_t first = cursor_u32(&c);
    uint32_t rows = frame->type == WIRE_RESIZE ? cursor_u32(&c) : 0;
    struct process *p = f->reader.process;
    if (frame->type == WIRE_SIGNAL) {
        if (!cursor_end(&c) || first == 0 || first > PROCESS_SIGNAL_MAX)
            conn_error(f->conn, WIRE_E_PROTOCOL, "not a signal");
        else
            (void)process_signal(p, (int)first, WIRE_SCOPE_GROUP);
        return;
    }
    if (!cursor_end(&c) || first > PROCESS_WINDOW_MAX || rows > PROCESS_WINDOW_MAX ||
        !(p->flags & WIRE_PROCESS_PTY))
        conn_error(f->conn, WIRE_E_PROTOCOL, "not the size of a terminal");
    else
        (void)process_resize(p, (uint16_t)first, (uint16_t)rows);
}

void feed_frame(struct feed *f, const struct wire_frame *frame)
{
    /* Forgotten a moment ago: the error is on its way. */
    if (f->reader.process == NULL)
        return;
    if (frame->type == WIRE_SIGNAL || frame->type == WIRE_RESIZE)
        feed_control(f, frame);
    else if ((frame->type == WIRE_STDIN && frame->len > 0) ||
             (frame->type == WIRE_STDIN_EOF && frame->len == 0))
        feed_type(f, frame);
    else
        conn_error(f->conn, WIRE_E_PROTOCOL, "frame 0x%x is not allowed here",
                   (unsigned)frame->type);
}

void feed_stop(struct feed *f)
{
    if (f->typing)
        process_input_cancel(f->reader.process, &f->input);
    f->typing = false;
    process_detach(&f->reader);
    buf_done(&f->pending);
}
