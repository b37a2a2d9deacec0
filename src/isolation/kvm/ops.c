/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.c - operations on a running microVM. Each is a list of steps, one after the other, on the
 * pool (files) or on the control socket.
 *
 * The happy path is: op_start begins the first step, each result begins the next, the last calls
 * `done`.
 * Possible failure modes are:
 * - A step fails. Only those steps follow that are marked `always`: a guest that was paused runs
 *   again, and half-made files go.
 * - The VM ends, or a step on the socket takes longer than its time-out. The connection is lost,
 * and each further step on it fails at once.
 * - The instance is stopped. kvm_op_cancel takes `done` away; work on the pool is waited for, as
 * the instance counts it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sparse.h"
#include "core/file.h"
#include "core/step.h"
#include "isolation/kvm/internal.h"
#include "isolation/rmtree.h"

#define OP_TIMEOUT_MS  30000u
#define OP_SNAPSHOT_MS 600000u /* the memory is written; a slow disk takes its time */
#define OP_OVERLAY     CTL_MAX_FDS

struct kvm_op_step {
    const char *name;                    /* what is reached by it (core/step.h); NULL: nothing */
    int (*work)(struct kvm_instance *o); /* on the pool; NULL: a request */
    enum ctl_type request;
    unsigned int timeout_ms;
    unsigned int fds;
    bool always;
    bool undo; /* after a failure alone */
    bool last;
};

static void op_next(struct kvm_instance *o);
static void op_work(uv_work_t *work);
static void op_on_work(uv_work_t *work, int status);
static void op_on_reply(struct kvm_ctl *c, const struct kvm_ctl_msg *m, const struct error *err);

/* Steps on files. */

static enum error_code op_code(int status)
{
    return status == -ENOSPC ? ERROR_NO_SPACE : ERROR_SANDBOX_FAILED;
}

static int op_errno(struct kvm_instance *o, const char *what)
{
    int status = -errno;
    return error_set_errno(&o->op.err, op_code(status), status, "%s", what);
}

static int op_path(const struct kvm_instance *o, const char *name, char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s%s%s", o->op.path, name[0] != '\0' ? "/" : "", name);
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int op_create(struct kvm_instance *o, const char *name, int *ret_fd)
{
    char path[PATH_MAX];
    if (op_path(o, name, path) < 0)
        return -ENAMETOOLONG;
    *ret_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? op_errno(o, path) : 0;
}

static int work_open_snapshot(struct kvm_instance *o)
{
    if (mkdir(o->op.path, 0700) < 0)
        return op_errno(o, o->op.path);
    o->op.made = true;
    int rv = op_create(o, CTL_STATE_NAME, &o->op.fds[0]);
    return rv == 0 ? op_create(o, CTL_MEMORY_NAME, &o->op.fds[1]) : rv;
}

static int work_open_fork(struct kvm_instance *o)
{
    if (mkdir(o->op.path, 0700) < 0)
        return op_errno(o, o->op.path);
    o->op.made = true;
    return kvm_fork_open(o);
}

static int work_open_workset(struct kvm_instance *o)
{
    int rv = op_create(o, "", &o->op.fds[0]);
    o->op.made = rv == 0;
    return rv;
}

/* Follows the blocks that are there, not the disk's size. The guest stands still meanwhile: to be
 * on the disk the copy has time later. */
static int work_copy_overlay(struct kvm_instance *o)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/" KVM_OVERLAY_NAME, o->launch.dir);
    cleanup_close int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return op_errno(o, path);
    int rv = op_create(o, KVM_OVERLAY_NAME, &o->op.fds[OP_OVERLAY]);
    if (rv == 0 && (rv = sparse_copy(from, o->op.fds[OP_OVERLAY])) < 0)
        return error_set_errno(&o->op.err, op_code(rv), rv, "%s", path);
    return rv;
}

static int op_link(struct kvm_instance *o, const char *name, bool needed)
{
    char from[PATH_MAX], to[PATH_MAX];
    (void)snprintf(from, sizeof(from), "%s/%s", o->launch.dir, name);
    if (op_path(o, name, to) < 0)
        return -ENAMETOOLONG;
    int rv = kvm_launch_link(from, to);
    if (rv == 0 || (rv == -ENOENT && !needed))
        return 0;
    return error_set_errno(&o->op.err, ERROR_SANDBOX_FAILED, rv, "%s", from);
}

/* What a start needs beside the files that were written. */
static int work_link_files(struct kvm_instance *o)
{
    int rv = o->op.difference ? op_link(o, KVM_BASE_NAME, true) : 0;
    if (rv == 0)
        rv = op_link(o, KVM_DISK_NAME, o->op.store);
    if (rv == 0)
        rv = op_link(o, CTL_WORKSET_NAME, false);
    return rv == 0 ? op_link(o, CTL_WORKSET_CODE_NAME, false) : rv;
}

/* Nobody writes to the overlay any more: it gets another name instead of a copy. */
static int work_link_overlay(struct kvm_instance *o)
{
    char path[PATH_MAX];
    int rv = op_link(o, KVM_OVERLAY_NAME, true);
    if (rv == 0)
        rv = op_path(o, KVM_OVERLAY_NAME, path);
    if (rv < 0)
        return rv;
    o->op.fds[OP_OVERLAY] = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return o->op.fds[OP_OVERLAY] < 0 ? op_errno(o, path) : 0;
}

static int work_begin_store(struct kvm_instance *o)
{
    int rv = kvm_stored_begin(o);
    return rv < 0 ? error_set_errno(&o->op.err, ERROR_SANDBOX_FAILED, rv, "%s", o->op.path)
                  : work_open_snapshot(o);
}

static void op_close_files(struct kvm_op *op)
{
    for (size_t i = 0; i < ARRAY_SIZE(op->fds); i++) {
        base_close_p(&op->fds[i]);
        op->fds[i] = -1;
    }
}

static int op_sync(struct kvm_instance *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(o->op.fds); i++) {
        if (o->op.fds[i] >= 0 && fsync(o->op.fds[i]) < 0)
            return op_errno(o, o->op.path);
    }
    return 0;
}

static int work_place_store(struct kvm_instance *o)
{
    int rv = op_sync(o);
    if (rv == 0 && (rv = kvm_stored_place(o)) < 0)
        (void)error_set_errno(&o->op.err, op_code(rv), rv, "%s", o->op.path);
    return rv;
}

static int op_finish(struct kvm_instance *o, int rv)
{
    op_close_files(&o->op);
    if (rv < 0 && o->op.made && unlink(o->op.path) < 0)
        (void)rmtree(o->op.path);
    return rv;
}

/* Makes the files survive a power failure, or removes them after a failed step. */
static int work_finish(struct kvm_instance *o)
{
    return op_finish(o, o->op.status == 0 ? op_sync(o) : o->op.status);
}

/* They need not: the directory goes when the children run. */
static int work_finish_fork(struct kvm_instance *o)
{
    return op_finish(o, o->op.status);
}

/* Lists. */

static const struct kvm_op_step op_steps_pause[] = {
    {.request = CTL_PAUSE, .timeout_ms = OP_TIMEOUT_MS, .last = true},
};

static const struct kvm_op_step op_steps_resume[] = {
    {.request = CTL_RESUME, .timeout_ms = OP_TIMEOUT_MS, .last = true},
};

static const struct kvm_op_step op_steps_snapshot[] = {
    {.name = "opened", .work = work_open_snapshot},
    {.name = "paused", .request = CTL_PAUSE, .timeout_ms = OP_TIMEOUT_MS},
    {.name = "saved", .request = CTL_DIFF, .timeout_ms = OP_SNAPSHOT_MS, .fds = 2},
    {.name = "copied", .work = work_copy_overlay},
    {.name = "resumed", .request = CTL_RESUME, .timeout_ms = OP_TIMEOUT_MS, .always = true},
    {.name = "linked", .work = work_link_files},
    {.work = work_finish, .always = true, .last = true},
};

/* The VMM pauses the guest by itself, when it has made room in the memfds. The last request asks
 * how long it stood still. */
static const struct kvm_op_step op_steps_fork[] = {
    {.name = "opened", .work = work_open_fork},
    {.name = "saved", .request = CTL_FORK, .timeout_ms = OP_SNAPSHOT_MS, .fds = 2},
    {.name = "copied", .work = work_copy_overlay},
    {.name = "resumed", .request = CTL_RESUME, .timeout_ms = OP_TIMEOUT_MS, .always = true},
    {.request = CTL_STATS, .timeout_ms = OP_TIMEOUT_MS},
    {.name = "taken", .work = kvm_fork_take, .always = true},
    {.name = "linked", .work = work_link_files},
    {.work = work_finish_fork, .always = true, .last = true},
};

/* The guest stands still from the request on. */
static const struct kvm_op_step op_steps_store[] = {
    {.name = "opened", .work = work_begin_store},
    {.name = "paused", .request = CTL_PAUSE, .timeout_ms = OP_TIMEOUT_MS},
    {.name = "saved", .request = CTL_DIFF, .timeout_ms = OP_SNAPSHOT_MS, .fds = 2},
    {.name = "copied", .work = work_link_overlay},
    {.name = "linked", .work = work_link_files},
    {.name = "placed", .work = work_place_store},
    {.request = CTL_RESUME, .timeout_ms = OP_TIMEOUT_MS, .undo = true},
    {.work = work_finish, .always = true, .last = true},
};

static const struct kvm_op_step op_steps_workset[] = {
    {.work = work_open_workset},
    {.request = CTL_WORKSET, .timeout_ms = OP_TIMEOUT_MS, .fds = 1},
    {.work = work_finish, .always = true, .last = true},
};

static int op_start(struct instance *instance, const struct kvm_op_step *steps, const char *path,
                    struct instance_memory *memory, instance_done done)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    uint64_t room = 0;
    if (o->state != KVM_RUNNING)
        return -EINVAL;
    if (o->op.step != NULL)
        return -EBUSY;
    cleanup_free char *copy = path != NULL ? strdup(path) : NULL;
    int rv = path != NULL && copy == NULL ? -ENOMEM : 0;
    if (rv == 0 && memory != NULL)
        rv = kvm_fork_admit(o, &room);
    if (rv < 0)
        return rv;
    o->op = (struct kvm_op){.step = steps,
                            .done = done,
                            .path = TAKE_PTR(copy),
                            .fds = {-1, -1, -1},
                            .store = steps == op_steps_store,
                            .memory = instance_memory_get(memory),
                            .room = room};
    /* A request that cannot be sent is an error of the call, which `done` does not follow. */
    if (steps->work != NULL) {
        op_next(o);
        return 0;
    }
    rv = kvm_ctl_request(&o->ctl, steps->request, NULL, 0, steps->timeout_ms, op_on_reply);
    if (rv < 0)
        o->op.step = NULL;
    return rv;
}

int kvm_op_pause(struct instance *instance, instance_done done)
{
    return op_start(instance, op_steps_pause, NULL, NULL, done);
}

int kvm_op_resume(struct instance *instance, instance_done done)
{
    return op_start(instance, op_steps_resume, NULL, NULL, done);
}

int kvm_op_snapshot(struct instance *instance, const char *dir, instance_done done)
{
    return op_start(instance, op_steps_snapshot, dir, NULL, done);
}

int kvm_op_fork(struct instance *instance, const char *dir, struct instance_memory *memory,
                instance_done done)
{
    return op_start(instance, op_steps_fork, dir, memory, done);
}

int kvm_op_store(struct instance *instance, instance_done done)
{
    char path[PATH_MAX];
    const struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    (void)snprintf(path, sizeof(path), "%s/" KVM_STORED_NEW, o->launch.dir);
    return op_start(instance, op_steps_store, path, NULL, done);
}

int kvm_op_workset(struct instance *instance, const char *path, instance_done done)
{
    return op_start(instance, op_steps_workset, path, NULL, done);
}

static void op_on_prefetch(struct kvm_ctl *c, const struct kvm_ctl_msg *m, const struct error *err)
{
    (void)c;
    (void)m;
    (void)err; /* the code runs in any case, slower */
}

/* May be sent while an operation is under way. */
void kvm_op_expect_code(struct instance *instance)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    if (o->state == KVM_RUNNING)
        (void)kvm_ctl_request(&o->ctl, CTL_PREFETCH, NULL, 0, OP_TIMEOUT_MS, op_on_prefetch);
}

static void op_end(struct kvm_instance *o)
{
    struct kvm_op *op = &o->op;
    instance_done done = op->done;
    int status = op->status;
    struct error err = op->err;
    kvm_op_free(o);
    if (done != NULL)
        done(o->base.ctx, status, status < 0 ? &err : NULL);
}

/* The result of a step. */
static void op_result(struct kvm_instance *o, int status)
{
    struct kvm_op *op = &o->op;
    const struct kvm_op_step *step = op->step;
    if (status < 0 && op->status == 0)
        op->status = status;
    if ((step->request == CTL_PAUSE || step->request == CTL_FORK) && status == 0)
        op->paused = true;
    if (op->status == 0 && step->name != NULL)
        step_reach("vmm", step->name);
    if (step->last) {
        op_end(o);
        return;
    }
    op->step++;
    op_next(o);
}

/* Begins the step, or the next that has to be done. */
static void op_next(struct kvm_instance *o)
{
    struct kvm_op *op = &o->op;
    while (op->status < 0 ? !op->step->always && !op->step->undo : op->step->undo)
        op->step++;
    const struct kvm_op_step *step = op->step;
    if (step->request == CTL_RESUME && op->status < 0 && !op->paused) {
        op_result(o, 0);
        return;
    }
    if (step->work != NULL) {
        op->work.data = o;
        ending_ref(&o->ending);
        (void)uv_queue_work(o->base.driver->loop, &op->work, op_work, op_on_work);
        return;
    }
    int rv = kvm_ctl_request(&o->ctl, step->request, op->fds, step->fds, step->timeout_ms,
                             op_on_reply);
    if (rv < 0) {
        if (op->status == 0)
            (void)error_set_errno(&op->err, ERROR_SANDBOX_FAILED, rv, "the VMM cannot be asked");
        op_result(o, rv);
    }
}

static void op_work(uv_work_t *work)
{
    struct kvm_instance *o = work->data;
    int rv = o->op.step->work(o);
    if (rv < 0 && o->op.status == 0)
        o->op.status = rv;
}

static void op_on_work(uv_work_t *work, int status)
{
    struct kvm_instance *o = work->data;
    op_result(o, status);
    ending_unref(&o->ending);
}

static void op_on_reply(struct kvm_ctl *c, const struct kvm_ctl_msg *m, const struct error *err)
{
    struct kvm_instance *o = container_of(c, struct kvm_instance, ctl);
    if (m == NULL && o->op.status == 0)
        o->op.err = *err;
    if (m != NULL && m->type == CTL_SAVED) {
        o->op.difference = m->difference;
        o->op.bytes = m->saved_bytes;
        o->op.length = m->saved_length;
    }
    if (m != NULL && m->type == CTL_STATS_REPLY)
        o->op.pause_us = m->pause_us;
    op_result(o, m == NULL ? -EIO : 0);
}

void kvm_op_cancel(struct kvm_instance *o)
{
    o->op.done = NULL;
}

void kvm_op_free(struct kvm_instance *o)
{
    if (o->op.step == NULL)
        return;
    op_close_files(&o->op);
    free(o->op.path);
    if (o->op.memory != NULL)
        kvm_fork_over(o);
    o->op = (struct kvm_op){0};
}
