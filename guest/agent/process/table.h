/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - the processes of the sandbox, running and ended.
 *
 * Bounds: PROCESSES_RUNNING at once; PROCESSES_ENDED records of ended ones, of which the one that
 * ended first makes room; PROCESSES_BYTES of output and arguments in all. When the bytes go beyond,
 * output of ended processes is dropped, then their records, both in the order of their ends, and
 * then the oldest output of the process that writes. A record that somebody reads stays, and so
 * does a pinned one.
 */
#ifndef CORRAL_AGENT_PROCESS_TABLE_H
#define CORRAL_AGENT_PROCESS_TABLE_H

#include "agent/process/process.h"
#include "agent/sink.h"

#define PROCESSES_RUNNING 4096
#define PROCESSES_ENDED   1024
#define PROCESSES_BYTES   (128u << 20)

struct processes {
    struct loop *loop;
    struct sinks *sinks;
    struct list all;   /* by id */
    struct list ended; /* by end */
    unsigned int running_count, ended_count;
    size_t bytes; /* of all rings and details */
    uint64_t last_id;
};

/* By `id`, or when it is 0 by `pid`, or when that is 0 by `tag`. */
struct process_name {
    uint64_t id;
    uint32_t pid;
    const char *tag;
};

void processes_init(struct processes *s, struct loop *loop, struct sinks *sinks);
/* Ends all. No reader may be left. */
void processes_done(struct processes *s);
/* Takes o->argv and o->cwd, also on failure. The process is SPAWNING. 0; -EBUSY:
 * PROCESSES_RUNNING; or another negative errno. */
int processes_start(struct processes *s, struct process_options *o, struct process **ret);
/* The newest that fits, one that runs before one that has ended. NULL: there is none. */
struct process *processes_find(const struct processes *s, const struct process_name *name);
/* The one with the lowest id above `id`, or NULL. */
struct process *processes_next(const struct processes *s, uint64_t id);
/* Ends it if it runs and drops what is kept of it. Its readers are told. */
void processes_forget(struct process *p);
/* A child was reaped. True when it was the main process of one of these. */
bool processes_reaped(struct processes *s, pid_t pid, int wait_status);

/* Between the files of this folder. */
void processes_ended(struct process *p);
void processes_make_room(struct processes *s, struct process *writer);
void process_init(struct process *p, struct processes *table);

#endif
