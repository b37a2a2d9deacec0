/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.c - from the pipes or the terminal into the ring, and from there to the readers.
 *
 * A pipe is watched while there is room: always, but for an owner that is behind. So a process
 * without an owner never waits for anybody, and one with an owner waits for it alone.
 */
#include "agent/process/process.h"

#include <errno.h>

#include "agent/process/table.h"

#define PROCESS_TURN_BYTES (256u * 1024) /* read from one pipe per turn */

void process_notify(struct process *p)
{
    list_for_each (it, &p->readers)
        loop_task_add(p->table->loop, &list_entry(it, struct process_reader, node)->task);
}

static bool process_wants_output(const struct process *p)
{
    list_for_each (it, &p->readers) {
        const struct process_reader *r = list_entry(it, struct process_reader, node);
        if (r->own && ring_unread(&p->ring, r->next) >= PROCESS_AHEAD)
            return false;
    }
    return true;
}

void process_update(struct process *p)
{
    bool wanted = p->state != PROCESS_SPAWNING && process_wants_output(p);
    for (size_t i = 0; i < ARRAY_SIZE(p->out); i++) {
        if (loop_watch(p->table->loop, &p->out[i].source, wanted ? EPOLLIN : 0) < 0)
            loop_close(p->table->loop, &p->out[i].source);
    }
}

void process_record(struct process *p, enum wire_stream stream, const void *data, size_t len)
{
    if (p->admit != NULL && !p->admit(p->admit_ctx, stream, len))
        return;
    size_t before = p->ring.charge;
    (void)ring_append(&p->ring, stream, data, len);
    p->table->bytes += p->ring.charge - before;
    processes_make_room(p->table, p);
}

/* Reads until the pipe is empty or at its end, or for PROCESS_TURN_BYTES. While the main process
 * runs, a short read ends the loop: the pipe is most likely empty. */
void process_read_output(struct process_output *o)
{
    static uint8_t chunk[WIRE_CHUNK];
    struct process *p = o->process;
    size_t total = 0;
    ssize_t n = -1;
    errno = EAGAIN;
    while (o->source.fd >= 0 && process_wants_output(p) && total < PROCESS_TURN_BYTES) {
        n = read(o->source.fd, chunk, sizeof(chunk));
        if (n <= 0)
            break;
        process_record(p, o->stream, chunk, (size_t)n);
        total += (size_t)n;
        o->owed -= MIN(o->owed, (size_t)n);
        if ((size_t)n < sizeof(chunk) && p->state == PROCESS_RUNNING)
            break;
    }
    /* EIO is how a terminal ends. */
    if (o->source.fd >= 0 && (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))) {
        loop_close(p->table->loop, &o->source);
        o->owed = 0;
    }
    if (total > 0)
        process_notify(p);
}

void process_handle_output(struct source *s)
{
    struct process_output *o = container_of(s, struct process_output, source);
    process_read_output(o);
    process_resume(o->process);
}

static void process_reader_run(struct task *t)
{
    struct process_reader *r = container_of(t, struct process_reader, task);
    r->wake(r);
}

void process_attach(struct process *p, struct process_reader *r, uint64_t from, bool own)
{
    r->process = p;
    r->own = own;
    r->next = from == 0 ? p->ring.first : MIN(from, p->ring.next);
    task_init(&r->task, process_reader_run);
    list_add_tail(&p->readers, &r->node);
    loop_task_add(p->table->loop, &r->task);
}

void process_detach(struct process_reader *r)
{
    struct process *p = TAKE_PTR(r->process);
    if (r->task.run != NULL)
        task_cancel(&r->task);
    if (p == NULL)
        return;
    list_del(&r->node);
    if (p->state == PROCESS_FAILED && list_empty(&p->readers))
        processes_forget(p);
    else if (r->own)
        process_resume(p); /* it no longer waits for this one */
}

const struct ring_record *process_read(struct process_reader *r, bool *ret_gap)
{
    struct ring *ring = &r->process->ring;
    *ret_gap = r->next < ring->first;
    r->next = MAX(r->next, ring->first);
    const struct ring_record *rec = ring_get(ring, r->next);
    if (rec != NULL)
        r->next++;
    return rec;
}
