/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ending.c - kill, clean, close.
 *
 *                   begin           pidfd readable          cleaner: ok             last unref
 *     NOT_BEGUN ------------> KILLING ------------> CLEANING ------------> CLOSING ----------> gone
 *         |                                         ^      | failed: again, after a pause
 *         +-----------------------------------------+------+
 *           begin, no process to kill
 *
 * The happy path: SIGKILL ends the process within milliseconds, the cleaner removes groups, mounts
 * and files, the handles close in the next turn of the loop.
 * Possible failure modes are:
 * - The process does not end: one that sleeps in the kernel and cannot be interrupted. KILLING
 *   gives up after KILL_TIMEOUT_MS. The cleaner then tries the control groups.
 * - The cleaner fails, is killed, or cannot be started. It is started CLEAN_TRIES times in all.
 * - The cleaner takes longer than CLEAN_TIMEOUT_MS. It waits for something that does not end, and
 *   another try at once would only wait longer.
 * What is left after the last try goes to the driver's reaper, which never gives up. The instance
 * counts as stopped all the same: a server that stops must not wait for ever. The sweep at the next
 * start continues where its reaper ended.
 */
#include "isolation/ending.h"

#include <signal.h>

#include "base/log.h"
#include "core/metrics.h"
#include "isolation/proc.h"

#define KILL_TIMEOUT_MS  10000
#define CLEAN_TIMEOUT_MS 60000
#define CLEAN_TRIES      3
#define CLEAN_PAUSE_MS   100 /* before the second try, then twice as long */

/* In time order. */
static void ending_on_poll(uv_poll_t *poll, int status, int events);
static void ending_on_kill_timeout(uv_timer_t *timer);
static void ending_clean(struct ending *e);
static void ending_on_cleaned(struct helper *run);
static void ending_on_pause(uv_timer_t *timer);
static void ending_close(struct ending *e);
static void ending_on_close(uv_handle_t *h);

void ending_init(struct ending *e, const struct ending_ops *ops, struct instance *instance,
                 const char *id, struct helper_runner *cleanings)
{
    *e = (struct ending){
        .ops = ops, .instance = instance, .id = id, .cleanings = cleanings, .pidfd = -1};
    (void)uv_timer_init(instance->driver->loop, &e->timer);
    e->timer.data = e;
    e->open = 1;
    reaper_know(instance->driver->reaper, &e->member, id);
}

int ending_watch(struct ending *e, int pidfd)
{
    if (pidfd < 0)
        return pidfd;
    e->pidfd = pidfd;
    int rv = uv_poll_init(e->instance->driver->loop, &e->poll, pidfd);
    if (rv < 0)
        return rv;
    e->has_poll = true;
    e->open++;
    e->poll.data = e;
    rv = uv_poll_start(&e->poll, UV_READABLE, ending_on_poll);
    e->watched = rv == 0;
    return rv;
}

static void ending_on_poll(uv_poll_t *poll, int status, int events)
{
    struct ending *e = poll->data;
    (void)status;
    (void)events;
    (void)uv_poll_stop(poll);
    proc_reap(e->pidfd);
    e->died = true;
    if (e->state == ENDING_KILLING)
        ending_clean(e);
    else
        e->ops->died(e);
}

void ending_kill(const struct ending *e)
{
    if (e->watched && !e->died)
        (void)proc_kill(e->pidfd, SIGKILL);
}

void ending_begin(struct ending *e)
{
    if (!e->watched || e->died) {
        ending_clean(e);
        return;
    }
    e->state = ENDING_KILLING;
    ending_kill(e);
    (void)uv_timer_start(&e->timer, ending_on_kill_timeout, KILL_TIMEOUT_MS, 0);
}

static void ending_on_kill_timeout(uv_timer_t *timer)
{
    struct ending *e = timer->data;
    log_warn("sandbox process does not end", "sandbox=%s pid=%d", e->id, e->instance->handle.pid);
    ending_clean(e);
}

static void ending_clean(struct ending *e)
{
    e->state = ENDING_CLEANING;
    (void)uv_timer_stop(&e->timer);
    /* A process that dies as late as this is of no interest any more. */
    if (e->has_poll)
        (void)uv_poll_stop(&e->poll);
    e->tries++;
    helper_start(&e->cleaner, e->cleanings, e->ops->cleaner(e), CLEAN_TIMEOUT_MS,
                 ending_on_cleaned);
}

static void ending_on_cleaned(struct helper *run)
{
    struct ending *e = container_of(run, struct ending, cleaner);
    char quoted[256];
    bool done = run->end == HELPER_EXITED && run->status == 0;
    if (!done)
        metrics_add(METRIC_CLEANINGS_FAILED, 1);
    if (!done && e->tries < CLEAN_TRIES && run->end != HELPER_TIMED_OUT) {
        (void)uv_timer_start(&e->timer, ending_on_pause, CLEAN_PAUSE_MS << (e->tries - 1), 0);
        return;
    }
    if (!done) {
        log_error("sandbox not fully removed, will try again", "sandbox=%s status=%d error=%s",
                  e->id, run->status, log_quote(quoted, sizeof(quoted), run->text));
        reaper_take(e->instance->driver->reaper, e->id, e->ops->cleaner(e));
    }
    ending_close(e);
}

static void ending_on_pause(uv_timer_t *timer)
{
    ending_clean(timer->data);
}

static void ending_close(struct ending *e)
{
    e->state = ENDING_CLOSING;
    if (e->has_poll)
        uv_close((uv_handle_t *)&e->poll, ending_on_close);
    e->ops->close(e);
    uv_close((uv_handle_t *)&e->timer, ending_on_close);
}

static void ending_on_close(uv_handle_t *h)
{
    ending_unref(h->data);
}

void ending_ref(struct ending *e)
{
    e->open++;
}

void ending_unref(struct ending *e)
{
    if (--e->open > 0)
        return;
    base_close_p(&e->pidfd);
    reaper_forget(&e->member);
    e->ops->gone(e);
}
