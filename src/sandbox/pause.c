/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pause.c - see pause.h for what it is for, sandbox.h for the phases.
 *
 * A container is frozen: its processes stay as they are and get no processor time. A microVM is
 * stored: it becomes files in its directory, and nothing else is left of it. Each step that must
 * survive the server is on disk before the next begins. A server that is killed with -9
 *
 *   pause                                      leaves behind, and the next server
 *   1 the driver freezes the instance          a running record: adopts it, which thaws it
 *     or stores it: it stands still, and its   a running record: adopts it, which makes it go on
 *     files are written, synced and named      and removes the files, complete or not
 *   2 the record says stopped, and is flushed  either record
 *   3 a stored instance ends, files stay       a stopped record: ends it, and keeps the files
 *   4 PAUSED                                   a stopped record: adopts it, which freezes it; or,
 *                                              of a stored one, removes what is beside the files
 *
 *   resume
 *   1 the driver thaws, the agent answers      a stopped record: adopts it, which freezes it again
 *     or starts another from the files, which  a stopped record: ends the new one, and keeps the
 *     are only read; the agent renews what it  files: the sandbox is where it was paused
 *     must
 *   2 the record says running, and is flushed  either record
 *   3 the files go                             a running record: adopts it, and removes the files
 *   4 RUNNING, requests get in                 a running record: adopts it
 *
 * The happy path is as above. Possible failure modes are:
 * - The driver cannot pause, or the record cannot be written: the sandbox runs on.
 * - It cannot be resumed: it stays paused, and may be asked again. What was started of a stored one
 *   ends first.
 * - The instance ends by itself in a pause: once its files are complete that is no harm. Before,
 *   the sandbox has failed.
 * - Its end comes in between: sandbox_end takes over, whatever is under way.
 * Operations of clients that are open end when the instance stands still, not before: a pause that
 * fails costs none of them.
 *
 * A rollback is a pause, and then a resumption from other files: those of the snapshot. If that
 * fails the sandbox resumes from its own. Requests that come meanwhile find it paused.
 */
#include "sandbox/pause.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "core/step.h"
#include "sandbox/moves.h"

/* Of one pause, in time order. */
static void pause_on_stopped(void *ctx, int status, const struct error *err);
static void pause_commit(struct sandbox *sb);
static void pause_measure(struct sandbox *sb);
static void pause_on_measured(uv_work_t *work, int status);
static void pause_on_committed(struct store_wait *w, int status);
static void pause_on_undone(void *ctx, int status, const struct error *err);
static void resume_over(struct sandbox *sb, const struct error *err);
static void resume_on_started(void *ctx, int status, const struct error *err);
static void resume_on_committed(struct store_wait *w, int status);

bool sandbox_can_store(const struct isolation_driver *driver)
{
    return (driver->ops->abilities & ISOLATION_STORES) != 0;
}

bool sandbox_can_pause(const struct isolation_driver *driver)
{
    return (driver->ops->abilities & ISOLATION_FREEZES) != 0 || sandbox_can_store(driver);
}

static bool pause_stores(const struct sandbox *sb)
{
    return sandbox_can_store(sb->host->driver);
}

bool sandbox_is_paused(const struct sandbox *sb)
{
    return sb->phase == SANDBOX_PAUSING || sb->phase == SANDBOX_PAUSED || sb->resuming;
}

int sandbox_pause(struct sandbox *sb, struct sandbox_wait *w, struct error *err)
{
    if (!sandbox_can_pause(sb->instance->driver))
        return error_set(err, ERROR_UNSUPPORTED, "Sandboxes of this server cannot be paused");
    if (sb->capture != NULL)
        return error_set(err, ERROR_CONFLICT, "A snapshot of the sandbox is being made");
    int rv = pause_stores(sb) ? instance_store(sb->instance, pause_on_stopped)
                              : instance_pause(sb->instance, pause_on_stopped);
    if (rv < 0)
        return error_set_errno(err, rv == -EBUSY ? ERROR_CONFLICT : ERROR_SANDBOX_FAILED, rv,
                               "The sandbox cannot be paused");
    if (w != NULL)
        list_add_tail(&sb->pause_waits, &w->node);
    sandbox_move(sb, SANDBOX_PAUSING);
    return 0;
}

/* It runs on. Those who wanted it awake meanwhile have it; those who wanted it elsewhere have not.
 */
static void pause_failed(struct sandbox *sb, const struct error *err)
{
    char quoted[300];
    bool elsewhere = sb->resume_from != NULL;
    log_warn("sandbox not paused", "sandbox=%s reason=%s", sb->id,
             log_quote(quoted, sizeof(quoted), err->message));
    sb->resume_wanted = sb->resume_again = false;
    free(TAKE_PTR(sb->resume_from));
    sandbox_move(sb, SANDBOX_RUNNING);
    sandbox_tell(sb, &sb->pause_waits, err);
    sandbox_tell(sb, &sb->run_waits, elsewhere ? err : NULL);
    sandbox_check_expiry(sb);
}

static void pause_on_stopped(void *ctx, int status, const struct error *err)
{
    struct sandbox *sb = ctx;
    struct error paused;
    if (sb->phase != SANDBOX_PAUSING)
        return;
    if (status < 0) {
        pause_failed(sb, err);
        return;
    }
    step_reach("pause", "frozen");
    error_set(&paused, ERROR_SANDBOX_PAUSED, "The sandbox was paused");
    agent_target_fail(&sb->target, &paused);
    if (!pause_stores(sb)) {
        pause_measure(sb);
        return;
    }
    sb->disk_bytes = sb->instance->stored_bytes;
    pause_commit(sb);
}

/* --- what it takes on the host's disk --- */

struct pause_work {
    uv_work_t work;
    struct sandbox *sb;
    uint64_t bytes;
};

static __thread uint64_t pause_sum; /* nftw has no argument for its caller */

static int pause_add(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path;
    (void)at;
    if (type != FTW_NS)
        pause_sum += (uint64_t)st->st_blocks * 512;
    return 0;
}

/* Never follows a link, nor leaves the file system. What is too deep is not counted. */
static void pause_work(uv_work_t *work)
{
    struct pause_work *k = container_of(work, struct pause_work, work);
    pause_sum = 0;
    (void)nftw(k->sb->dir, pause_add, 16, FTW_PHYS | FTW_MOUNT);
    k->bytes = pause_sum;
}

static void pause_commit(struct sandbox *sb)
{
    sb->status = SANDBOX_STATUS_STOPPED;
    sb->stored = pause_stores(sb);
    sb->paused_ms = time_now_ms();
    sb->handle = sb->instance->handle;
    sandbox_place_timeout(sb, sb->paused_ms, sb->host->pause_expiry_s);
    sb->events->changed(sb);
    sb->events->commit(sb, pause_on_committed);
}

static void pause_measure(struct sandbox *sb)
{
    struct pause_work *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        pause_commit(sb);
        return;
    }
    k->sb = sb;
    sb->measuring = true;
    (void)uv_queue_work(sb->target.loop, &k->work, pause_work, pause_on_measured);
}

static void pause_on_measured(uv_work_t *work, int status)
{
    struct pause_work *k = container_of(work, struct pause_work, work);
    struct sandbox *sb = k->sb;
    if (status == 0)
        sb->disk_bytes = k->bytes;
    free(k);
    sb->measuring = false;
    if (sb->phase == SANDBOX_PAUSING)
        pause_commit(sb);
    else
        sandbox_maybe_ended(sb);
}

/* --- the record --- */

static void pause_on_committed(struct store_wait *w, int status)
{
    struct sandbox *sb = container_of(w, struct sandbox, commit);
    if (status == 0) {
        sb->committed = true;
        sandbox_maybe_paused(sb);
        return;
    }
    error_set_errno(&sb->pause_error, ERROR_STORAGE_FAILED, status, "The record cannot be written");
    if (instance_resume(sb->instance, pause_on_undone) < 0)
        sandbox_end(sb, SANDBOX_STATUS_FAILED, sb->pause_error.message, NULL);
}

/* The record that says paused may still reach the disk, so one that does not follows it. */
static void pause_on_undone(void *ctx, int status, const struct error *err)
{
    struct sandbox *sb = ctx;
    if (sb->phase != SANDBOX_PAUSING)
        return;
    if (status < 0) {
        sandbox_end(sb, SANDBOX_STATUS_FAILED, err->message, NULL);
        return;
    }
    sb->status = SANDBOX_STATUS_RUNNING;
    sb->paused_ms = 0;
    sb->stored = false;
    sb->handle = sb->instance->handle;
    sandbox_place_timeout(sb, time_now_ms(), sb->owner.timeout_s);
    sb->events->changed(sb);
    instance_forget_stored(sb->instance);
    pause_failed(sb, &sb->pause_error);
}

/* Ends what is left of the instance. */
static void pause_put_away(struct sandbox *sb)
{
    sb->keeping = true;
    network_detach(&sb->net);
    instance_put_away(sb->instance);
}

static void pause_over(struct sandbox *sb)
{
    sb->committed = false;
    sb->pause_tries = 0;
    sandbox_move(sb, SANDBOX_PAUSED);
    log_info("sandbox paused", "sandbox=%s bytes=%llu", sb->id, (unsigned long long)sb->disk_bytes);
    sandbox_tell(sb, &sb->pause_waits, NULL);
    if (sb->phase != SANDBOX_PAUSED)
        return;
    if (sb->resume_wanted)
        sandbox_resume(sb, sb->resume_s, NULL);
    else
        sandbox_check_expiry(sb);
}

void sandbox_maybe_paused(struct sandbox *sb)
{
    if (sb->phase != SANDBOX_PAUSING || (!sb->committed && !sb->resume_failed) || sb->op_active ||
        sb->keeping)
        return;
    if (sb->stored && sb->instance != NULL)
        pause_put_away(sb);
    else if (sb->resume_failed)
        resume_over(sb, &sb->pause_error);
    else
        pause_over(sb);
}

void sandbox_is_put_away(struct sandbox *sb)
{
    if (sb->phase == SANDBOX_ADOPTING)
        sandbox_stays_paused(sb);
    else
        sandbox_maybe_paused(sb);
}

bool sandbox_outlives_instance(const struct sandbox *sb)
{
    return sb->phase == SANDBOX_PAUSING && sb->stored;
}

void sandbox_stays_paused(struct sandbox *sb)
{
    sandbox_move(sb, SANDBOX_PAUSED);
    sandbox_check_expiry(sb);
}

/* --- waking up --- */

/* It stays paused; when it ran until somebody wanted it elsewhere, it goes on where it was. */
static void resume_over(struct sandbox *sb, const struct error *err)
{
    char quoted[300];
    struct error why = *err;
    bool again = sb->resume_again;
    log_warn("sandbox not resumed", "sandbox=%s reason=%s", sb->id,
             log_quote(quoted, sizeof(quoted), why.message));
    sb->resuming = sb->resume_wanted = sb->resume_failed = sb->resume_again = false;
    free(TAKE_PTR(sb->resume_from));
    sandbox_move(sb, SANDBOX_PAUSED);
    sandbox_tell(sb, &sb->run_waits, &why);
    if (again && sb->phase == SANDBOX_PAUSED)
        sandbox_resume(sb, sb->resume_s, NULL);
    else
        sandbox_check_expiry(sb);
}

/* The record of a running one may be on its way to the disk: it is followed by the other. */
static void resume_unrecord(struct sandbox *sb)
{
    store_unwait(&sb->commit);
    if (sb->status == SANDBOX_STATUS_STOPPED)
        return;
    sb->status = SANDBOX_STATUS_STOPPED;
    sb->stored = true;
    sb->paused_ms = time_now_ms();
    sandbox_place_timeout(sb, sb->paused_ms, sb->host->pause_expiry_s);
    sb->events->changed(sb);
}

bool sandbox_back_to_paused(struct sandbox *sb, const struct error *err)
{
    if (!sb->resuming || !pause_stores(sb))
        return false;
    sb->pause_error = *err;
    sb->resuming = false;
    sb->resume_failed = true;
    resume_unrecord(sb);
    sandbox_move(sb, SANDBOX_PAUSING);
    agent_target_fail(&sb->target, &sb->pause_error);
    sandbox_maybe_paused(sb);
    return true;
}

static void resume_fail(struct sandbox *sb, const struct error *err)
{
    if (!sandbox_back_to_paused(sb, err))
        resume_over(sb, err);
}

/* Another instance, from the files: what was known of the one before means nothing to it. */
static int resume_start(struct sandbox *sb)
{
    if (!sb->stored)
        return instance_resume(sb->instance, resume_on_started);
    sb->clock_tries = sb->unanswered = 0;
    sb->clock_late = sb->bridge_silent = false;
    sb->code_expected_ns = 0;
    sb->trust = SANDBOX_TRUST_NONE;
    sb->instance = sandbox_instance(sb, NULL);
    return sb->instance != NULL ? instance_start(sb->instance) : -ENOMEM;
}

void sandbox_resume(struct sandbox *sb, unsigned int seconds, struct sandbox_wait *w)
{
    struct error err;
    if (w != NULL)
        list_add_tail(&sb->run_waits, &w->node);
    if (seconds > 0 || !sb->resume_wanted)
        sb->resume_s = seconds;
    if (sb->phase == SANDBOX_PAUSING || sb->capture != NULL)
        sb->resume_wanted = true;
    if (sb->phase != SANDBOX_PAUSED || sb->capture != NULL)
        return;
    sb->resume_wanted = false;
    sb->resuming = true;
    sandbox_move(sb, SANDBOX_RESUMING);
    int rv = resume_start(sb);
    if (rv < 0) {
        error_set_errno(&err, ERROR_SANDBOX_FAILED, rv, "The sandbox cannot be resumed");
        resume_fail(sb, &err);
    }
}

void sandbox_captured(struct sandbox *sb)
{
    if (sb->phase == SANDBOX_PAUSED && sb->resume_wanted)
        sandbox_resume(sb, sb->resume_s, NULL);
}

static void resume_on_started(void *ctx, int status, const struct error *err)
{
    struct sandbox *sb = ctx;
    if (sb->phase != SANDBOX_RESUMING)
        return;
    step_reach("pause", status < 0 ? "stays" : "thawed");
    if (status < 0)
        resume_fail(sb, err);
    else
        sandbox_handshake(sb);
}

void sandbox_resumed(struct sandbox *sb)
{
    unsigned int seconds = sb->resume_s > 0 ? sb->resume_s : sb->owner.timeout_s;
    sb->status = SANDBOX_STATUS_RUNNING;
    sb->stored = false;
    sb->paused_ms = 0;
    sb->handle = sb->instance->handle;
    sandbox_place_timeout(sb, time_now_ms(), seconds);
    sb->events->changed(sb);
    sb->events->commit(sb, resume_on_committed);
}

/* Without its record on disk a container would be frozen again by the next server, and lose
 * nothing. A microVM would be put back to where it was paused. */
static void resume_on_committed(struct store_wait *w, int status)
{
    struct sandbox *sb = container_of(w, struct sandbox, commit);
    struct error err;
    if (status < 0) {
        error_set_errno(&err, ERROR_STORAGE_FAILED, status, "The record cannot be written");
        if (sandbox_back_to_paused(sb, &err))
            return;
        log_warn("the record of a resumed sandbox is not on disk", "sandbox=%s", sb->id);
    }
    sb->resume_again = false;
    instance_forget_stored(sb->instance);
    sandbox_runs(sb);
}

/* Until when it runs, in seconds from now. */
static unsigned int rollback_left_s(const struct sandbox *sb)
{
    if (sb->timeout_at_ms == 0)
        return SANDBOX_NO_TIMEOUT;
    return (unsigned int)(MAX(sb->timeout_at_ms - time_now_ms(), (int64_t)1000) / 1000);
}

int sandbox_rollback(struct sandbox *sb, const char *dir, struct sandbox_wait *w, struct error *err)
{
    bool runs = sb->phase == SANDBOX_RUNNING;
    unsigned int seconds = runs ? rollback_left_s(sb) : 0;
    if (!pause_stores(sb))
        return error_set(err, ERROR_UNSUPPORTED, "Sandboxes of this server cannot be rolled back");
    if (!runs && sb->phase != SANDBOX_PAUSED)
        return error_set(err, ERROR_CONFLICT, "The sandbox is between running and paused");
    if (sb->capture != NULL)
        return error_set(err, ERROR_CONFLICT, "A snapshot of the sandbox is being made");
    cleanup_free char *from = strdup(dir);
    int rv = from == NULL ? error_set(err, ERROR_INTERNAL, "Out of memory") : 0;
    if (rv == 0 && runs)
        rv = sandbox_pause(sb, NULL, err);
    if (rv < 0)
        return rv;
    sb->resume_from = TAKE_PTR(from);
    sb->resume_again = runs;
    sandbox_resume(sb, seconds, w);
    return 0;
}

void sandbox_forget_pause(struct sandbox *sb)
{
    store_unwait(&sb->commit);
    sb->resuming = sb->resume_wanted = sb->committed = false;
    sb->resume_failed = sb->resume_again = false;
}
