/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance.c - the life of one container.
 *
 *            start              launcher: ok             pidfd readable
 *     NEW ----------> STARTING --------------> RUNNING ------------------> ENDED
 *      |  adopt          | launcher: error        ^                          ^
 *      +--------> ADOPTING --------------------->-+--------------------------+
 *
 *     any state, stop:   -> STOPPING -> KILLING -> CLEANING -> CLOSING -> freed
 *
 * STARTING waits for the launcher (at most LAUNCH_TIMEOUT_MS once it runs), ADOPTING for the next
 * turn of the loop, STOPPING for a cancelled launcher to die, KILLING for the process to end (at
 * most KILL_TIMEOUT_MS: a process in uninterruptible sleep does not), CLEANING for the cleaner (at
 * most CLEAN_TIMEOUT_MS per try). What a failed cleaner leaves, the sweep at the next start
 * removes.
 */
#include "isolation/oci/exec.h"
#include "isolation/oci/internal.h"
#include "isolation/proc.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LAUNCH_TIMEOUT_MS 30000
#define KILL_TIMEOUT_MS   10000
#define CLEAN_TIMEOUT_MS  60000
#define CLEAN_TRIES       3

enum oci_state {
    OCI_NEW,
    OCI_STARTING,
    OCI_ADOPTING,
    OCI_RUNNING,
    OCI_ENDED, /* by itself, or it never ran */
    OCI_STOPPING,
    OCI_KILLING,
    OCI_CLEANING,
    OCI_CLOSING,
};

struct oci_instance {
    struct instance base;
    enum oci_state state;
    struct oci_spec spec;
    int pidfd;
    struct helper run;
    uv_timer_t timer; /* adopting, killing */
    uv_poll_t poll;   /* on pidfd */
    bool has_poll;
    unsigned int open;  /* of the two handles */
    unsigned int tries; /* of cleaning */
};

static void oci_instance_on_launched(struct helper *run);
static void oci_instance_on_adopt(uv_timer_t *timer);
static void oci_instance_on_end(uv_poll_t *poll, int status, int events);
static void oci_instance_kill(struct oci_instance *o);
static void oci_instance_on_kill_timeout(uv_timer_t *timer);
static void oci_instance_clean(struct oci_instance *o);
static void oci_instance_on_cleaned(struct helper *run);
static void oci_instance_close(struct oci_instance *o);
static void oci_instance_on_close(uv_handle_t *h);

static struct oci_driver *oci_instance_driver(const struct oci_instance *o)
{
    return container_of(o->base.driver, struct oci_driver, base);
}

static int set_str(char **field, const char *value)
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
        strcmp(spec->dir, o->spec.dir) != 0 || set_str(&o->spec.rootfs, spec->rootfs) < 0 ||
        set_str(&o->spec.guest_dir, spec->guest_dir) < 0) {
        if (o != NULL)
            oci_spec_done(&o->spec);
        free(o);
        return NULL;
    }
    o->spec.vcpus = spec->vcpus;
    o->spec.memory_mb = spec->memory_mb;
    o->spec.pids_max = spec->pids_max;
    o->base = (struct instance){.driver = base, .events = events, .ctx = ctx};
    o->pidfd = -1;
    (void)uv_timer_init(base->loop, &o->timer);
    o->timer.data = o;
    o->open = 1;
    d->instances++;
    return &o->base;
}

static void oci_instance_fail(struct oci_instance *o, const struct error *err)
{
    o->state = OCI_ENDED;
    o->base.events->started(o->base.ctx, -EIO, err);
}

/* Watches the process and tells that the sandbox runs. */
static void oci_instance_watch(struct oci_instance *o)
{
    struct error err = {0};
    o->pidfd = proc_open_same(o->base.handle.pid, o->base.handle.start_time);
    int r = o->pidfd < 0 ? o->pidfd : uv_poll_init(o->base.driver->loop, &o->poll, o->pidfd);
    if (r == 0) {
        o->has_poll = true;
        o->open++;
        o->poll.data = o;
        r = uv_poll_start(&o->poll, UV_READABLE, oci_instance_on_end);
    }
    if (r < 0) {
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
    char **argv = oci_spec_to_argv(&o->spec, OCI_PROGRAM, OCI_VERB_LAUNCH);
    if (argv == NULL)
        return -ENOMEM;
    o->state = OCI_STARTING;
    helper_start(&o->run, &d->launches, argv, LAUNCH_TIMEOUT_MS, oci_instance_on_launched);
    return 0;
}

static int launch_result(struct oci_instance *o, const struct helper *run, struct error *err)
{
    struct instance_handle h = {0};
    char *nl = strchrnul(run->text, '\n');
    switch (run->end) {
    case HELPER_EXITED:
        if (run->status == 0 &&
            sscanf(run->text, "ok %" SCNd32 " %" SCNu64, &h.pid, &h.start_time) == 2) {
            o->base.handle = h;
            return 0;
        }
        if (strncmp(run->text, "error ", 6) == 0)
            return error_set(err, ERROR_SANDBOX_FAILED, "%.*s", (int)(nl - run->text - 6),
                             run->text + 6);
        return error_set(err, ERROR_SANDBOX_FAILED, "the launcher ended with status %d",
                         run->status);
    case HELPER_TIMED_OUT:
        return error_set(err, ERROR_SANDBOX_FAILED, "%s did not start the sandbox within %d s",
                         o->spec.runtime, LAUNCH_TIMEOUT_MS / 1000);
    case HELPER_CANCELLED:
    case HELPER_FAILED:
        break;
    }
    return error_set_errno(err, ERROR_SANDBOX_FAILED, run->status, "the launcher");
}

static void oci_instance_on_launched(struct helper *run)
{
    struct oci_instance *o = container_of(run, struct oci_instance, run);
    struct error err = {0};
    int r = launch_result(o, run, &err);
    if (o->state == OCI_STOPPING)
        oci_instance_kill(o);
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
    if (err.code != ERROR_NONE)
        oci_instance_fail(o, &err);
    else
        oci_instance_watch(o);
}

static void oci_instance_on_end(uv_poll_t *poll, int status, int events)
{
    struct oci_instance *o = poll->data;
    (void)uv_poll_stop(poll);
    proc_reap(o->pidfd);
    if (o->state == OCI_KILLING) {
        (void)uv_timer_stop(&o->timer);
        oci_instance_clean(o);
        return;
    }
    o->state = OCI_ENDED;
    bool oom = cgroup_oom(&oci_instance_driver(o)->cgroups, o->spec.id);
    o->base.events->exited(o->base.ctx, oom ? "out of memory" : "the agent ended");
}

void oci_instance_stop(struct instance *instance)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    switch (o->state) {
    case OCI_STARTING:
        o->state = OCI_STOPPING;
        helper_cancel(&o->run);
        break;
    case OCI_ADOPTING:
        /* Not watched yet; the cleaner ends it through its control group. */
        (void)uv_timer_stop(&o->timer);
        oci_instance_clean(o);
        break;
    case OCI_RUNNING:
        oci_instance_kill(o);
        break;
    case OCI_NEW:
    case OCI_ENDED:
        oci_instance_clean(o);
        break;
    case OCI_STOPPING:
    case OCI_KILLING:
    case OCI_CLEANING:
    case OCI_CLOSING:
        break;
    }
}

/* Process 1 of the pid namespace takes every other process of the sandbox with it. */
static void oci_instance_kill(struct oci_instance *o)
{
    if (o->pidfd < 0 || !o->has_poll) {
        oci_instance_clean(o);
        return;
    }
    o->state = OCI_KILLING;
    (void)proc_kill(o->pidfd, SIGKILL);
    (void)uv_timer_start(&o->timer, oci_instance_on_kill_timeout, KILL_TIMEOUT_MS, 0);
}

static void oci_instance_on_kill_timeout(uv_timer_t *timer)
{
    struct oci_instance *o = timer->data;
    log_warn("sandbox process does not end", "sandbox=%s pid=%d", o->spec.id, o->base.handle.pid);
    (void)uv_poll_stop(&o->poll);
    oci_instance_clean(o);
}

static void oci_instance_clean(struct oci_instance *o)
{
    o->state = OCI_CLEANING;
    o->tries++;
    char **argv = oci_spec_to_argv(&o->spec, OCI_PROGRAM, OCI_VERB_CLEAN);
    helper_start(&o->run, &oci_instance_driver(o)->cleanings, argv, CLEAN_TIMEOUT_MS,
                 oci_instance_on_cleaned);
}

static void oci_instance_on_cleaned(struct helper *run)
{
    struct oci_instance *o = container_of(run, struct oci_instance, run);
    char quoted[256];
    if (run->end == HELPER_EXITED && run->status == 0) {
        oci_instance_close(o);
    } else if (o->tries < CLEAN_TRIES && run->end != HELPER_TIMED_OUT) {
        oci_instance_clean(o);
    } else {
        log_error("sandbox not fully removed", "sandbox=%s status=%d error=%s", o->spec.id,
                  run->status, log_quote(quoted, sizeof(quoted), run->text));
        oci_instance_close(o);
    }
}

static void oci_instance_close(struct oci_instance *o)
{
    o->state = OCI_CLOSING;
    if (o->has_poll)
        uv_close((uv_handle_t *)&o->poll, oci_instance_on_close);
    uv_close((uv_handle_t *)&o->timer, oci_instance_on_close);
}

static void oci_instance_on_close(uv_handle_t *h)
{
    struct oci_instance *o = h->data;
    if (--o->open > 0)
        return;
    oci_instance_driver(o)->instances--;
    o->base.events->stopped(o->base.ctx);
    base_close_p(&o->pidfd);
    oci_spec_done(&o->spec);
    free(o);
}

int oci_instance_stats(struct instance *instance, struct instance_stats *ret)
{
    struct oci_instance *o = container_of(instance, struct oci_instance, base);
    return cgroup_stats(&oci_instance_driver(o)->cgroups, o->spec.id, ret);
}
