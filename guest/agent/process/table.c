/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - see table.h for the bounds. */
#include "agent/process/table.h"

#include <errno.h>
#include <string.h>

void processes_init(struct processes *s, struct loop *loop, struct sinks *sinks)
{
    *s = (struct processes){.loop = loop, .sinks = sinks};
    list_init(&s->all);
    list_init(&s->ended);
}

void processes_done(struct processes *s)
{
    while (s->all.next != NULL && !list_empty(&s->all))
        processes_forget(list_first(&s->all, struct process, node));
}

static void process_release(struct deferred *d)
{
    struct process *p = container_of(d, struct process, deferred);
    free(p->tag);
    free(p->cwd);
    free(p->argv);
    free(p);
}

static size_t process_count_details(const struct process *p)
{
    size_t n = strlen(p->tag) + strlen(p->cwd);
    for (size_t i = 0; p->argv[i] != NULL; i++)
        n += strlen(p->argv[i]) + sizeof(char *);
    return n;
}

static struct process *process_new(struct processes *s, struct process_options *o)
{
    struct process *p = calloc(1, sizeof(*p));
    char *tag = strdup(o->tag);
    if (p == NULL || tag == NULL) {
        free(p);
        free(tag);
        free(TAKE_PTR(o->argv));
        free(TAKE_PTR(o->cwd));
        return NULL;
    }
    process_init(p, s);
    p->tag = tag;
    p->argv = TAKE_PTR(o->argv);
    p->cwd = TAKE_PTR(o->cwd);
    p->flags = o->flags;
    p->details = process_count_details(p);
    p->limited = o->timeout_ms > 0;
    if (o->flags & WIRE_PROCESS_PTY)
        p->out[0].stream = WIRE_STREAM_PTY;
    ring_init(&p->ring, MAX(o->ring, (size_t)PROCESS_OWNED_RING));
    return p;
}

int processes_start(struct processes *s, struct process_options *o, struct process **ret)
{
    struct process *p = process_new(s, o);
    if (p == NULL)
        return -ENOMEM;
    p->id = ++s->last_id;
    int rv = s->running_count < PROCESSES_RUNNING ? process_spawn(p, o) : -EBUSY;
    if (rv < 0) {
        process_close(p);
        process_release(&p->deferred);
        return rv;
    }
    loop_timer_start(s->loop, &p->timer, p->limited ? o->timeout_ms * 1000ull : PROCESS_SPAWN_US);
    list_add_tail(&s->all, &p->node);
    s->running_count++;
    s->bytes += p->details;
    processes_make_room(s, p);
    *ret = p;
    return 0;
}

static bool process_has_name(const struct process *p, const struct process_name *name)
{
    if (name->id != 0)
        return p->id == name->id;
    if (name->pid != 0)
        return (uint32_t)p->pid == name->pid;
    return name->tag[0] != '\0' && strcmp(p->tag, name->tag) == 0;
}

struct process *processes_find(const struct processes *s, const struct process_name *name)
{
    struct process *found = NULL;
    for (struct list *it = s->all.prev; it != &s->all; it = it->prev) {
        struct process *p = list_entry(it, struct process, node);
        if (p->state == PROCESS_FAILED || !process_has_name(p, name))
            continue;
        if (p->state != PROCESS_ENDED)
            return p;
        if (found == NULL)
            found = p;
    }
    return found;
}

struct process *processes_next(const struct processes *s, uint64_t id)
{
    list_for_each (it, &s->all) {
        struct process *p = list_entry(it, struct process, node);
        if (p->id > id && p->state != PROCESS_FAILED)
            return p;
    }
    return NULL;
}

static void process_drop_output(struct process *p)
{
    p->table->bytes -= p->ring.charge;
    ring_clear(&p->ring);
}

void processes_forget(struct process *p)
{
    struct processes *s = p->table;
    process_close(p);
    while (!list_empty(&p->readers)) {
        struct process_reader *r = list_first(&p->readers, struct process_reader, node);
        list_del(&r->node);
        r->process = NULL;
        loop_task_add(s->loop, &r->task);
    }
    if (list_empty(&p->ended_node))
        s->running_count--;
    else
        s->ended_count--;
    list_del(&p->node);
    list_del(&p->ended_node);
    process_drop_output(p);
    s->bytes -= p->details;
    loop_defer(s->loop, &p->deferred, process_release);
}

/* An ended record that nobody uses, from the one that ended first. NULL: none. With `output` one
 * that still has output. */
static struct process *processes_oldest(struct processes *s, bool output)
{
    list_for_each (it, &s->ended) {
        struct process *p = list_entry(it, struct process, ended_node);
        if (!p->pinned && list_empty(&p->readers) && (!output || p->ring.charge > 0))
            return p;
    }
    return NULL;
}

void processes_make_room(struct processes *s, struct process *writer)
{
    struct process *p;
    while (s->bytes > PROCESSES_BYTES && (p = processes_oldest(s, true)) != NULL)
        process_drop_output(p);
    while (s->bytes > PROCESSES_BYTES && (p = processes_oldest(s, false)) != NULL)
        processes_forget(p);
    /* What an owner has not read yet stays: it is little, and there are few owners. */
    while (s->bytes > PROCESSES_BYTES && writer->ring.charge > PROCESS_OWNED_RING) {
        size_t before = writer->ring.charge;
        (void)ring_shed(&writer->ring);
        s->bytes -= before - writer->ring.charge;
    }
}

void processes_ended(struct process *p)
{
    struct processes *s = p->table;
    struct process *oldest;
    list_add_tail(&s->ended, &p->ended_node);
    s->running_count--;
    s->ended_count++;
    while (s->ended_count > PROCESSES_ENDED && (oldest = processes_oldest(s, false)) != NULL)
        processes_forget(oldest);
}

bool processes_reaped(struct processes *s, pid_t pid, int wait_status)
{
    list_for_each (it, &s->all) {
        struct process *p = list_entry(it, struct process, node);
        if (p->pid != pid || !p->alive)
            continue;
        process_reaped(p, wait_status);
        return true;
    }
    return false;
}
