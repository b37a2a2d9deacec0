/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance.c - the life of one container.
 *
 *            start              launcher: ok             the agent's process ends
 *     NEW ----------> STARTING --------------> RUNNING ------------------> ENDED
 *      |  adopt          | launcher: error        ^                          ^
 *      +--------> ADOPTING --------------------->-+--------------------------+
 *
 *     any state, stop:   -> STOPPING -> ENDING -> freed
 *
 * RUNNING has one operation at a time. Pause and resume are on the pool: a group freezes when the
 * last of its processes has left the kernel, at the latest after FREEZE_TIMEOUT_MS. A snapshot is
 * the work of the copier, a helper. A stop waits for all of them.
 *
 * STARTING waits for the launcher (at most LAUNCH_TIMEOUT_MS once it runs), ADOPTING for the next
 * turn of the loop, STOPPING for a cancelled launcher to die. ENDING is the work of ending.c: it
 * kills the agent, which is process 1 of its pid namespace and takes every other process of the
 * sandbox with it. An instance that is adopted and stopped in the same turn has no watched process;
 * the cleaner ends it through its control group.
 */
#include "isolation/oci/exec.h"
#include "isolation/oci/internal.h"
#include "isolation/oci/users.h"
#include "isolation/proc.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LAUNCH_TIMEOUT_MS 30000
#define FREEZE_TIMEOUT_MS 10000
#define COPY_TIMEOUT_MS   600000 /* a disk is copied */

enum oci_state {
    OCI_NEW,
    OCI_STARTING,
    OCI_ADOPTING,
    OCI_RUNNING,
    OCI_ENDED, /* by itself, or it never ran */
    OCI_STOPPING,
    OCI_ENDING,
};

struct oci_instance {
    struct instance base;
    enum oci_state state;
    struct oci_spec spec;
    struct helper launcher;
    uv_timer_t timer; /* adopting */
    struct ending ending;
    /* Pause or resume. */
    uv_work_t work;
    bool working;
    bool freeze;        /* the former */
    int result;         /* of the work */
    instance_done done; /* NULL: cancelled */
    struct helper copier;
};

static void oci_instance_on_launched(struct helper *run);
static void oci_instance_on_adopt(uv_timer_t *timer);
static void oci_instance_end(struct oci_instance *o);
static void oci_instance_died(struct ending *e);
static char **oci_instance_cleaner(const struct ending *e);
static void oci_instance_close(struct ending *e);
static void oci_instance_on_close(uv_handle_t *h);
static void oci_instance_gone(struct ending *e);

static const struct ending_ops oci_ending_ops = {
    .died = oci_instance_died,
    .cleaner = oci_instance_cleaner,
    .close = oci_instance_close,
    .gone = oci_instance_gone,
};

static struct oci_driver *oci_instance_driver(const struct oci_instance *o)
{
    return container_of(o->base.driver, struct oci_driver, base);
}

static int oci_instance_set_str(char **field, const char *value)
{
    free(*field);
    *field = strdup(value);
    return *field != NULL ? 0 : -ENOMEM;
}

struct instance *oci_instance_create(struct isolation_driver *base,
                                     const struct instance_spec *spec,
                                     const struct instance_events *events, void *ctx)
{
    struct oci_driver *d = container_of(base, struct oci_driver, base);
    struct oci_instance *o = calloc(1, sizeof(*o));
    if (o == NULL || !driver_id_valid(spec->id) || oci_spec_init(&o->spec, d, spec->id) < 0 ||
        strcmp(spec->dir, o->spec.dir) != 0 ||
        oci_instance_set_str(&o->spec.rootfs, spec->rootfs) < 0 ||
        oci_instance_set_str(&o->spec.guest_dir, spec->guest_dir) < 0 ||
        oci_instance_set_str(&o->spec.snapshot,
                             spec->snapshot_dir != NULL ? spec->snapshot_dir : "") < 0) {
        if (o != NULL)
            oci_spec_done(&o->spec);
        free(o);
        return NULL;
    }
    o->spec.vcpus = spec->vcpus;
    o->spec.memory_mb = spec->memory_mb;
    o->spec.disk_mb = d->disks ? spec->disk_mb : 0;
    o->spec.disk_bps = d->disk_bps;
    o->spec.disk_iops = d->disk_iops;
    o->spec.pids_max = spec->pids_max;
    o->spec.network = spec->network ? 1 : 0;
    o->base = (struct instance){.driver = base, .events = events, .ctx = ctx};
    ending_init(&o->ending, &oci_ending_ops, &o->base, o->spec.id, &d->cleanings);
    (void)uv_timer_init(base->loop, &o->timer);
    o->timer.data = o;
    ending_ref(&o->ending);
    d->instances++;
    return &o->base;
}

static void oci_instance_fail(struct oci_instance *o, const struct error *err)
{
    o->state = OCI_ENDED;
    o->base.events->started(o->base.ctx, -EIO, err);
}

/* Watches the process, and reports that the sandbox runs. */
static void oci_instance_watch(struct oci_instance *o)
{
    struct error err = {0};
    int r = ending_watch(&o->ending, proc_open_same(o->base.handle.pid, o->base.handle.start_time));
    if (o->state == OCI_ADOPTING && r == 0) {
        o->spec.uid = oci_users_of(o->base.handle.pid);
        uids_keep(&oci_instance_driver(o)->uids, o->spec.uid);
    }
    if (r < 0) {
        if (r == -ESRCH)
            (void)error_set(&err, ERROR_SANDBOX_FAILED,
                            "the agent ended while no server watched it");
        else
            (void)error_set_errno(&err, ERROR_SANDBOX_FAILED, r, "the agent's process");
        oci_instance_fail(o, &err);
        return;
    }
    o->state = OCI_RUNNING;
    o->base.events->started(o->base.ctx, 0, NULL);
}

int oci_instance_start(struct instance *instance)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    struct oci_driver *d = oci_instance_driver(o);
    assert(o->state == OCI_NEW);
    if (d->users && o->spec.uid == 0)
        o->spec.uid = uids_take(&d->uids);
    if (d->users && o->spec.uid == 0)
        return -EAGAIN;
    char **argv = oci_spec_to_argv(&o->spec, HELPER_PROGRAM, OCI_VERB_LAUNCH);
    if (argv == NULL)
        return -ENOMEM;
    o->state = OCI_STARTING;
    helper_start(&o->launcher, &d->launches, argv,
                 o->spec.snapshot[0] != '\0' ? COPY_TIMEOUT_MS : LAUNCH_TIMEOUT_MS,
                 oci_instance_on_launched);
    return 0;
}

/* "ok PID START WHAT\n" */
static void oci_instance_lacks(const struct oci_instance *o, char *text)
{
    char quoted[100];
    char *what = text;
    for (int i = 0; i < 3 && what != NULL; i++)
        what = strchr(what + (i > 0), ' ');
    if (what == NULL || what[1] == '\n' || what[1] == '\0')
        return;
    what[strcspn(what, "\n")] = '\0';
    log_warn("a sandbox starts without a part", "sandbox=%s part=%s", o->spec.id,
             log_quote(quoted, sizeof(quoted), what + 1));
}

static int oci_instance_launch_result(struct oci_instance *o, struct helper *run, struct error *err)
{
    struct instance_handle h = {0};
    char *nl = strchrnul(run->text, '\n');
    switch (run->end) {
    case HELPER_EXITED:
        if (run->status == 0 &&
            sscanf(run->text, "ok %" SCNd32 " %" SCNu64, &h.pid, &h.start_time) == 2) {
            o->base.handle = h;
            oci_instance_lacks(o, run->text);
            return 0;
        }
        if (strncmp(run->text, "error ", 6) == 0)
            return error_set(err, ERROR_SANDBOX_FAILED, "%.*s", (int)(nl - run->text - 6),
                             run->text + 6);
        return error_set(err, ERROR_SANDBOX_FAILED, "the launcher ended with status %d",
                         run->status);
    case HELPER_TIMED_OUT:
        return error_set(err, ERROR_SANDBOX_FAILED, "%s did not start the sandbox in time",
                         o->spec.runtime);
    case HELPER_CANCELLED:
    case HELPER_FAILED:
        break;
    }
    return error_set_errno(err, ERROR_SANDBOX_FAILED, run->status, "the launcher");
}

static void oci_instance_on_launched(struct helper *run)
{
    struct oci_instance *o = container_of(run, struct oci_instance, launcher);
    struct error err = {0};
    int r = oci_instance_launch_result(o, run, &err);
    if (o->state == OCI_STOPPING)
        oci_instance_end(o);
    else if (r < 0)
        oci_instance_fail(o, &err);
    else
        oci_instance_watch(o);
}

int oci_instance_adopt(struct instance *instance, const struct instance_handle *handle)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    assert(o->state == OCI_NEW);
    o->base.handle = *handle;
    o->state = OCI_ADOPTING;
    return uv_timer_start(&o->timer, oci_instance_on_adopt, 0, 0);
}

/* A container of which a part is missing is not adopted: its limits would not hold any more, or
 * nobody could reach its agent. */
static void oci_instance_on_adopt(uv_timer_t *timer)
{
    struct oci_instance *o = timer->data;
    struct error err = {0};
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/" OCI_SOCKET, o->spec.dir);
    if (!cgroup_exists(&oci_instance_driver(o)->cgroups, o->spec.id))
        (void)error_set(&err, ERROR_SANDBOX_FAILED, "its control group is gone");
    else if (access(path, F_OK) < 0)
        (void)error_set(&err, ERROR_SANDBOX_FAILED, "its socket is gone");
    if (err.code != ERROR_NONE) {
        oci_instance_fail(o, &err);
        return;
    }
    /* The earlier server may have died on the way from one state to the other. */
    struct cgroups *cg = &oci_instance_driver(o)->cgroups;
    (void)(o->base.handle.paused ? cgroup_freeze(cg, o->spec.id) : cgroup_thaw(cg, o->spec.id));
    oci_instance_watch(o);
}

static void oci_instance_work(uv_work_t *work)
{
    struct oci_instance *o = work->data;
    const struct cgroups *cg = &oci_instance_driver(o)->cgroups;
    o->result = o->freeze ? cgroup_freeze(cg, o->spec.id) : cgroup_thaw(cg, o->spec.id);
    if (o->freeze && o->result == 0)
        o->result = cgroup_await_frozen(cg, o->spec.id, FREEZE_TIMEOUT_MS);
    if (o->freeze && o->result < 0)
        (void)cgroup_thaw(cg, o->spec.id);
}

static void oci_instance_on_work(uv_work_t *work, int status)
{
    struct oci_instance *o = work->data;
    instance_done done = o->done;
    struct error err = {0};
    int r = status < 0 ? status : o->result;
    o->working = false;
    if (r == 0)
        o->base.handle.paused = o->freeze;
    if (r < 0)
        (void)error_set_errno(&err, ERROR_SANDBOX_FAILED, r, "The container could not be %s",
                              o->freeze ? "paused" : "resumed");
    if (o->state == OCI_STOPPING)
        oci_instance_end(o);
    else if (done != NULL)
        done(o->base.ctx, r, r < 0 ? &err : NULL);
    ending_unref(&o->ending);
}

static int oci_instance_queue(struct instance *instance, bool freeze, instance_done done)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    if (o->state != OCI_RUNNING)
        return -EINVAL;
    if (o->working || o->copier.busy)
        return -EBUSY;
    o->work.data = o;
    o->freeze = freeze;
    o->done = done;
    o->working = true;
    ending_ref(&o->ending);
    (void)uv_queue_work(o->base.driver->loop, &o->work, oci_instance_work, oci_instance_on_work);
    return 0;
}

int oci_instance_pause(struct instance *instance, instance_done done)
{
    return oci_instance_queue(instance, true, done);
}

int oci_instance_resume(struct instance *instance, instance_done done)
{
    return oci_instance_queue(instance, false, done);
}

static int oci_instance_copy_result(const struct oci_instance *o, struct error *err)
{
    const struct helper *run = &o->copier;
    const char *text = run->text;
    int len = (int)strcspn(text, "\n");
    if (run->end == HELPER_EXITED && run->status == 0)
        return 0;
    if (run->end == HELPER_TIMED_OUT)
        return error_set(err, ERROR_SANDBOX_FAILED, "The disk was not copied in time");
    if (run->end == HELPER_EXITED && strncmp(text, "full ", 5) == 0)
        return error_set(err, ERROR_NO_SPACE, "%.*s", len - 5, text + 5);
    if (run->end == HELPER_EXITED && strncmp(text, "error ", 6) == 0)
        return error_set(err, ERROR_SANDBOX_FAILED, "%.*s", len - 6, text + 6);
    return error_set(err, ERROR_SANDBOX_FAILED, "The copier ended with status %d", run->status);
}

static void oci_instance_on_copied(struct helper *run)
{
    struct oci_instance *o = container_of(run, struct oci_instance, copier);
    instance_done done = o->done;
    struct error err = {0};
    int r = oci_instance_copy_result(o, &err);
    if (r < 0 && !o->base.handle.paused) /* a copier that was killed leaves it frozen */
        (void)cgroup_thaw(&oci_instance_driver(o)->cgroups, o->spec.id);
    if (o->state == OCI_STOPPING)
        oci_instance_end(o);
    else if (done != NULL)
        done(o->base.ctx, r, r < 0 ? &err : NULL);
    ending_unref(&o->ending);
}

int oci_instance_snapshot(struct instance *instance, const char *dir, instance_done done)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    struct oci_driver *d = oci_instance_driver(o);
    if (o->state != OCI_RUNNING)
        return -EINVAL;
    if (o->working || o->copier.busy)
        return -EBUSY;
    o->spec.paused = o->base.handle.paused ? 1 : 0;
    if (oci_instance_set_str(&o->spec.snapshot, dir) < 0)
        return -ENOMEM;
    char **argv = oci_spec_to_argv(&o->spec, HELPER_PROGRAM, OCI_VERB_COPY);
    if (argv == NULL)
        return -ENOMEM;
    o->done = done;
    ending_ref(&o->ending);
    helper_start(&o->copier, &d->copies, argv, COPY_TIMEOUT_MS, oci_instance_on_copied);
    return 0;
}

/* The control group outlives its processes until the cleaner runs, so it can still say why. */
static void oci_instance_died(struct ending *e)
{
    struct oci_instance *o = container_of(e, struct oci_instance, ending);
    o->state = OCI_ENDED;
    bool oom = cgroup_oom(&oci_instance_driver(o)->cgroups, o->spec.id);
    o->base.events->exited(o->base.ctx, oom ? "out of memory" : "the agent ended");
}

static void oci_instance_end(struct oci_instance *o)
{
    o->state = OCI_ENDING;
    ending_begin(&o->ending);
    /* A frozen process dies when it thaws. The signal is on it. */
    (void)cgroup_thaw(&oci_instance_driver(o)->cgroups, o->spec.id);
}

void oci_instance_stop(struct instance *instance)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    switch (o->state) {
    case OCI_STARTING:
        o->state = OCI_STOPPING;
        helper_cancel(&o->launcher);
        break;
    case OCI_NEW:
    case OCI_ADOPTING:
    case OCI_RUNNING:
    case OCI_ENDED:
        (void)uv_timer_stop(&o->timer);
        o->done = NULL;
        helper_cancel(&o->copier);
        if (o->working || o->copier.busy)
            o->state = OCI_STOPPING;
        else
            oci_instance_end(o);
        break;
    case OCI_STOPPING:
    case OCI_ENDING:
        break;
    }
}

static char **oci_instance_cleaner(const struct ending *e)
{
    const struct oci_instance *o = container_of(e, struct oci_instance, ending);
    return oci_spec_to_argv(&o->spec, HELPER_PROGRAM, OCI_VERB_CLEAN);
}

static void oci_instance_close(struct ending *e)
{
    struct oci_instance *o = container_of(e, struct oci_instance, ending);
    uv_close((uv_handle_t *)&o->timer, oci_instance_on_close);
}

static void oci_instance_on_close(uv_handle_t *h)
{
    struct oci_instance *o = h->data;
    ending_unref(&o->ending);
}

static void oci_instance_gone(struct ending *e)
{
    struct oci_instance *o = container_of(e, struct oci_instance, ending);
    oci_instance_driver(o)->instances--;
    uids_drop(&oci_instance_driver(o)->uids, o->spec.uid);
    o->base.events->stopped(o->base.ctx);
    oci_spec_done(&o->spec);
    free(o);
}

int oci_instance_stats(struct instance *instance, struct instance_stats *ret)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    return cgroup_stats(&oci_instance_driver(o)->cgroups, o->spec.id, ret);
}

int oci_instance_oom_kills(struct instance *instance, uint64_t *ret)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    return cgroup_oom_kills(&oci_instance_driver(o)->cgroups, o->spec.id, ret);
}
