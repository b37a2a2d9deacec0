/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_worker.c - two lists, and a thread between them.
 *
 * A disk may take seconds for a flush, and longer when the host limits it; the loop has vsock,
 * control and timers to serve meanwhile. One thread and not more: a disk_cow has one map, the page
 * cache answers most requests, and each thread would cost every clone a stack.
 *
 * Wake-ups are what it costs. The loop wakes the thread only when it sleeps, and the thread wakes
 * the loop only when the list of done jobs was empty: with many requests under way neither sleeps,
 * and nobody is woken.
 *
 * Nobody but the submitter holds the VM's lock while it waits here. The thread never takes it.
 */
#include "disk_worker.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#define WORKER_STACK (256u << 10)

int disk_worker_init(struct disk_worker *w, struct disk *disk)
{
    pthread_condattr_t attr;
    *w = (struct disk_worker){.disk = disk, .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    list_init(&w->todo);
    list_init(&w->done);
    if (w->done_fd < 0)
        return -errno;
    int rv = pthread_mutex_init(&w->lock, NULL);
    if (rv == 0)
        rv = pthread_cond_init(&w->work, NULL);
    if (rv == 0)
        rv = pthread_condattr_init(&attr);
    if (rv != 0)
        return -rv;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rv = pthread_cond_init(&w->idle, &attr);
    (void)pthread_condattr_destroy(&attr);
    return -rv;
}

static int worker_zero(struct disk *d, const struct disk_job *job)
{
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < job->n; i++)
        rv = d->ops->zero(d, job->range[i].off, job->range[i].len, job->op == DISK_DISCARD);
    return rv;
}

static int worker_execute(struct disk *d, const struct disk_job *job)
{
    switch (job->op) {
    case DISK_READ:
        return d->ops->read(d, job->iov, job->n, job->off, job->len);
    case DISK_WRITE:
        return d->ops->write(d, job->iov, job->n, job->off, job->len);
    case DISK_FLUSH:
        return d->ops->flush(d);
    default:
        return worker_zero(d, job);
    }
}

/* With the lock held. */
static void worker_finish(struct disk_worker *w, struct disk_job *job)
{
    uint64_t one = 1;
    bool first = list_empty(&w->done);
    list_add_tail(&w->done, &job->link);
    if (first)
        (void)!write(w->done_fd, &one, sizeof(one));
}

static void worker_run(struct disk_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    while (!w->quit) {
        if (list_empty(&w->todo)) {
            (void)pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        struct disk_job *job = list_first(&w->todo, struct disk_job, link);
        list_del(&job->link);
        w->busy = true;
        (void)pthread_mutex_unlock(&w->lock);
        job->result = worker_execute(w->disk, job);
        (void)pthread_mutex_lock(&w->lock);
        w->busy = false;
        worker_finish(w, job);
        (void)pthread_cond_signal(&w->idle);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

/* Neither malloc nor free here: the first of a thread makes an arena of its own, which is four
 * system calls of each clone and memory of each. */
static void *worker_thread(void *arg)
{
    struct disk_worker *w = arg;
    (void)prctl(PR_SET_NAME, "disk", 0, 0, 0);
    if (w->begin != NULL)
        w->begin(w->ctx);
    worker_run(w);
    return NULL;
}

int disk_worker_start(struct disk_worker *w, void (*begin)(void *ctx), void *ctx)
{
    pthread_attr_t attr;
    w->begin = begin;
    w->ctx = ctx;
    int rv = pthread_attr_init(&attr);
    if (rv == 0) {
        (void)pthread_attr_setstacksize(&attr, WORKER_STACK);
        rv = pthread_create(&w->thread, &attr, worker_thread, w);
        (void)pthread_attr_destroy(&attr);
    }
    w->running = rv == 0;
    return -rv;
}

void disk_worker_done(struct disk_worker *w)
{
    if (w->running) {
        (void)pthread_mutex_lock(&w->lock);
        w->quit = true;
        (void)pthread_cond_signal(&w->work);
        (void)pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    w->running = false;
    if (w->done_fd >= 0)
        (void)close(w->done_fd);
    w->done_fd = -1;
}

void disk_worker_submit(struct disk_worker *w, struct disk_job *job)
{
    if (!w->running)
        job->result = worker_execute(w->disk, job);
    (void)pthread_mutex_lock(&w->lock);
    if (w->running) {
        bool asleep = list_empty(&w->todo) && !w->busy;
        list_add_tail(&w->todo, &job->link);
        if (asleep)
            (void)pthread_cond_signal(&w->work);
    } else {
        list_add_tail(&w->done, &job->link);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

struct disk_job *disk_worker_next_done(struct disk_worker *w)
{
    struct disk_job *job = NULL;
    (void)pthread_mutex_lock(&w->lock);
    if (!list_empty(&w->done)) {
        job = list_first(&w->done, struct disk_job, link);
        list_del(&job->link);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return job;
}

bool disk_worker_idle(struct disk_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool idle = list_empty(&w->todo) && list_empty(&w->done) && !w->busy;
    (void)pthread_mutex_unlock(&w->lock);
    return idle;
}

void disk_worker_cancel(struct disk_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    list_init(&w->todo);
    while (w->busy)
        (void)pthread_cond_wait(&w->idle, &w->lock);
    list_init(&w->done);
    (void)pthread_mutex_unlock(&w->lock);
}

int disk_worker_wait(struct disk_worker *w, const struct timespec *until)
{
    int rv = 0;
    (void)pthread_mutex_lock(&w->lock);
    while (rv == 0 && (w->busy || !list_empty(&w->todo)))
        rv = pthread_cond_timedwait(&w->idle, &w->lock, until);
    (void)pthread_mutex_unlock(&w->lock);
    return -rv;
}
