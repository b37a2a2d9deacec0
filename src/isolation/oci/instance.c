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

struct oci_iso {
    struct iso iso;
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

static void iso_on_launched(struct helper *run);
static void iso_on_adopt(uv_timer_t *timer);
static void iso_on_end(uv_poll_t *poll, int status, int events);
static void iso_kill(struct oci_iso *o);
static void iso_on_kill_timeout(uv_timer_t *timer);
static void iso_clean(struct oci_iso *o);
static void iso_on_cleaned(struct helper *run);
static void iso_close(struct oci_iso *o);
static void iso_on_close(uv_handle_t *h);

static struct oci_driver *iso_driver(const struct oci_iso *o)
{
    return container_of(o->iso.driver, struct oci_driver, base);
}

static int set_str(char **field, const char *value)
{
    free(*field);
    *field = strdup(value);
    return *field != NULL ? 0 : -ENOMEM;
}

struct iso *oci_iso_create(struct isolation_driver *base, const struct iso_spec *spec,
                           const struct iso_events *events, void *ctx)
{
    struct oci_driver *d = container_of(base, struct oci_driver, base);
    struct oci_iso *o = calloc(1, sizeof(*o));
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
    o->iso = (struct iso){.driver = base, .events = events, .ctx = ctx};
    o->pidfd = -1;
    (void)uv_timer_init(base->loop, &o->timer);
    o->timer.data = o;
    o->open = 1;
    d->instances++;
    return &o->iso;
}

static void iso_fail(struct oci_iso *o, const struct error *err)
{
    o->state = OCI_ENDED;
    o->iso.events->started(o->iso.ctx, -EIO, err);
}

/* Watches the process and tells that the sandbox runs. */
static void iso_watch(struct oci_iso *o)
{
    struct error err = {0};
    o->pidfd = proc_open_same(o->iso.handle.pid, o->iso.handle.start_time);
    int r = o->pidfd < 0 ? o->pidfd : uv_poll_init(o->iso.driver->loop, &o->poll, o->pidfd);
    if (r == 0) {
        o->has_poll = true;
        o->open++;
        o->poll.data = o;
        r = uv_poll_start(&o->poll, UV_READABLE, iso_on_end);
    }
    if (r < 0) {
        (void)error_set_errno(&err, ERROR_SANDBOX_FAILED, r, "the agent's process");
        iso_fail(o, &err);
        return;
    }
    o->state = OCI_RUNNING;
    o->iso.events->started(o->iso.ctx, 0, NULL);
}

int oci_iso_start(struct iso *iso)
{
    struct oci_iso *o = container_of(iso, struct oci_iso, iso);
    struct oci_driver *d = iso_driver(o);
    assert(o->state == OCI_NEW);
    char **argv = oci_spec_to_argv(&o->spec, OCI_PROGRAM, OCI_VERB_LAUNCH);
    if (argv == NULL)
        return -ENOMEM;
    o->state = OCI_STARTING;
    helper_start(&o->run, &d->launches, argv, LAUNCH_TIMEOUT_MS, iso_on_launched);
    return 0;
}

static int launch_result(struct oci_iso *o, const struct helper *run, struct error *err)
{
    struct iso_handle h = {0};
    char *nl = strchrnul(run->text, '\n');
    switch (run->end) {
    case HELPER_EXITED:
        if (run->status == 0 &&
            sscanf(run->text, "ok %" SCNd32 " %" SCNu64, &h.pid, &h.start_time) == 2) {
            o->iso.handle = h;
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

static void iso_on_launched(struct helper *run)
{
    struct oci_iso *o = container_of(run, struct oci_iso, run);
    struct error err = {0};
    int r = launch_result(o, run, &err);
    if (o->state == OCI_STOPPING)
        iso_kill(o);
    else if (r < 0)
        iso_fail(o, &err);
    else
        iso_watch(o);
}

int oci_iso_adopt(struct iso *iso, const struct iso_handle *handle)
{
    struct oci_iso *o = container_of(iso, struct oci_iso, iso);
    assert(o->state == OCI_NEW);
    o->iso.handle = *handle;
    o->state = OCI_ADOPTING;
    return uv_timer_start(&o->timer, iso_on_adopt, 0, 0);
}

static void iso_on_adopt(uv_timer_t *timer)
{
    struct oci_iso *o = timer->data;
    struct error err = {0};
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/" OCI_SOCKET, o->spec.dir);
    if (!cgroup_exists(&iso_driver(o)->cgroups, o->spec.id))
        (void)error_set(&err, ERROR_SANDBOX_FAILED, "its control group is gone");
    else if (access(path, F_OK) < 0)
        (void)error_set(&err, ERROR_SANDBOX_FAILED, "its socket is gone");
    if (err.code != ERROR_NONE)
        iso_fail(o, &err);
    else
        iso_watch(o);
}

static void iso_on_end(uv_poll_t *poll, int status, int events)
{
    struct oci_iso *o = poll->data;
    (void)uv_poll_stop(poll);
    proc_reap(o->pidfd);
    if (o->state == OCI_KILLING) {
        (void)uv_timer_stop(&o->timer);
        iso_clean(o);
        return;
    }
    o->state = OCI_ENDED;
    bool oom = cgroup_oom(&iso_driver(o)->cgroups, o->spec.id);
    o->iso.events->exited(o->iso.ctx, oom ? "out of memory" : "the agent ended");
}

void oci_iso_stop(struct iso *iso)
{
    struct oci_iso *o = container_of(iso, struct oci_iso, iso);
    switch (o->state) {
    case OCI_STARTING:
        o->state = OCI_STOPPING;
        helper_cancel(&o->run);
        break;
    case OCI_ADOPTING:
        /* Not watched yet; the cleaner ends it through its control group. */
        (void)uv_timer_stop(&o->timer);
        iso_clean(o);
        break;
    case OCI_RUNNING:
        iso_kill(o);
        break;
    case OCI_NEW:
    case OCI_ENDED:
        iso_clean(o);
        break;
    case OCI_STOPPING:
    case OCI_KILLING:
    case OCI_CLEANING:
    case OCI_CLOSING:
        break;
    }
}

/* Process 1 of the pid namespace takes every other process of the sandbox with it. */
static void iso_kill(struct oci_iso *o)
{
    if (o->pidfd < 0 || !o->has_poll) {
        iso_clean(o);
        return;
    }
    o->state = OCI_KILLING;
    (void)proc_kill(o->pidfd, SIGKILL);
    (void)uv_timer_start(&o->timer, iso_on_kill_timeout, KILL_TIMEOUT_MS, 0);
}

static void iso_on_kill_timeout(uv_timer_t *timer)
{
    struct oci_iso *o = timer->data;
    log_warn("sandbox process does not end", "sandbox=%s pid=%d", o->spec.id, o->iso.handle.pid);
    (void)uv_poll_stop(&o->poll);
    iso_clean(o);
}

static void iso_clean(struct oci_iso *o)
{
    o->state = OCI_CLEANING;
    o->tries++;
    char **argv = oci_spec_to_argv(&o->spec, OCI_PROGRAM, OCI_VERB_CLEAN);
    helper_start(&o->run, &iso_driver(o)->cleanings, argv, CLEAN_TIMEOUT_MS, iso_on_cleaned);
}

static void iso_on_cleaned(struct helper *run)
{
    struct oci_iso *o = container_of(run, struct oci_iso, run);
    char quoted[256];
    if (run->end == HELPER_EXITED && run->status == 0) {
        iso_close(o);
    } else if (o->tries < CLEAN_TRIES && run->end != HELPER_TIMED_OUT) {
        iso_clean(o);
    } else {
        log_error("sandbox not fully removed", "sandbox=%s status=%d error=%s", o->spec.id,
                  run->status, log_quote(quoted, sizeof(quoted), run->text));
        iso_close(o);
    }
}

static void iso_close(struct oci_iso *o)
{
    o->state = OCI_CLOSING;
    if (o->has_poll)
        uv_close((uv_handle_t *)&o->poll, iso_on_close);
    uv_close((uv_handle_t *)&o->timer, iso_on_close);
}

static void iso_on_close(uv_handle_t *h)
{
    struct oci_iso *o = h->data;
    if (--o->open > 0)
        return;
    iso_driver(o)->instances--;
    o->iso.events->stopped(o->iso.ctx);
    base_close_p(&o->pidfd);
    oci_spec_done(&o->spec);
    free(o);
}

int oci_iso_stats(struct iso *iso, struct iso_stats *ret)
{
    struct oci_iso *o = container_of(iso, struct oci_iso, iso);
    return cgroup_stats(&iso_driver(o)->cgroups, o->spec.id, ret);
}
