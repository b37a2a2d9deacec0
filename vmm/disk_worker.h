/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_worker.h - a thread that reads and writes the disk, so that the loop never waits for it.
 *
 *   the loop: disk_worker_submit -> the thread: the transfer -> an edge of `done_fd`
 *             -> the loop: disk_worker_next_done, until it is NULL
 *
 * Who owns what. A job is the submitter's until it is submitted, then the worker's, and the
 * submitter's again when disk_worker_next_done returns it. The disk is the worker's while a job is
 * there; when disk_worker_idle says that none is, the submitter may use it itself. The order of
 * jobs is kept.
 *
 * A worker whose thread was not started does each job inside disk_worker_submit.
 */
#ifndef CORRAL_VMM_DISK_WORKER_H
#define CORRAL_VMM_DISK_WORKER_H

#include <pthread.h>
#include <time.h>

#include "base/list.h"
#include "disk.h"

enum disk_job_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_ZERO, DISK_DISCARD };

struct disk_range {
    uint64_t off, len;
};

struct disk_job {
    struct list link;
    enum disk_job_op op;
    const struct iovec *iov; /* DISK_READ, DISK_WRITE; lives as long as the job */
    const struct disk_range *range;
    size_t n; /* elements of either */
    uint64_t off, len;
    int result; /* 0 or a negative errno */
};

struct disk_worker {
    struct disk *disk; /* not owned */
    pthread_t thread;
    bool running;
    void (*begin)(void *ctx); /* the thread's first call */
    void *ctx;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work, idle;
    struct list todo, done;
    bool busy; /* a job is under way */
    bool quit;
    int done_fd; /* owned eventfd, never read; an edge when the list of done jobs has a first one */
};

int disk_worker_init(struct disk_worker *w, struct disk *disk);
/* `begin` is called in the new thread before anything else. */
int disk_worker_start(struct disk_worker *w, void (*begin)(void *ctx), void *ctx);
/* Waits for the job under way, drops the others, ends the thread. */
void disk_worker_done(struct disk_worker *w);

void disk_worker_submit(struct disk_worker *w, struct disk_job *job);
struct disk_job *disk_worker_next_done(struct disk_worker *w);
/* No job is waiting, under way, or done and not yet taken. */
bool disk_worker_idle(struct disk_worker *w);

/* Takes back all jobs: those that have not begun, at once; the one under way, after its end. */
void disk_worker_cancel(struct disk_worker *w);
/* Waits until no job is waiting or under way. -ETIMEDOUT at `until` (monotonic). */
int disk_worker_wait(struct disk_worker *w, const struct timespec *until);

#endif
