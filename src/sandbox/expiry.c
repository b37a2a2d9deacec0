/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expiry.c - when the time of a sandbox is over, and what then: it ends, or it is paused.
 *
 * A running one is due at its time-out, and earlier when it is to be paused after a while without
 * traffic; a paused one when it may not stay paused any longer. One timer serves all three. It
 * stands still while the host sleeps, so it may fire late, and it is armed again when it fires
 * early.
 *
 * A pause that was not asked for by a client may fail, for want of disk. The sandbox runs on then
 * and is paused EXPIRY_RETRY_MS later, at most EXPIRY_TRIES times; after that its time is over.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "sandbox/moves.h"
#include "sandbox/pause.h"

#define EXPIRY_RETRY_MS 60000
#define EXPIRY_TRIES    10

static void expiry_on_timer(uv_timer_t *timer);
static void expiry_on_closed(uv_handle_t *handle);

const char *sandbox_boot_id(void)
{
    static char id[ID_SIZE];
    char text[ID_SIZE] = "";
    cleanup_close int fd = id[0] == '\0'
                               ? open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
                               : -1;
    if (fd >= 0 && read(fd, text, ID_SIZE - 1) == ID_SIZE - 1)
        (void)id_parse(id, text);
    return id;
}

void sandbox_place_timeout(struct sandbox *sb, int64_t now_ms, int64_t seconds)
{
    bool never = seconds == SANDBOX_NO_TIMEOUT;
    sb->timeout_at_ms = never ? 0 : now_ms + seconds * 1000;
    sb->timeout_boot_ms = never ? 0 : time_boot_ms() + seconds * 1000;
    memcpy(sb->boot_id, sandbox_boot_id(), sizeof(sb->boot_id));
}

/* INT64_MAX when it has no time-out. */
static int64_t expiry_left_ms(const struct sandbox *sb)
{
    if (sb->timeout_at_ms == 0)
        return INT64_MAX;
    return sb->timeout_boot_ms != 0 ? sb->timeout_boot_ms - time_boot_ms()
                                    : sb->timeout_at_ms - time_now_ms();
}

bool sandbox_is_expired(const struct sandbox *sb)
{
    bool waits = sb->phase == SANDBOX_RUNNING || sb->phase == SANDBOX_PAUSED;
    return waits && expiry_left_ms(sb) <= 0;
}

void sandbox_set_timeout(struct sandbox *sb, unsigned int seconds)
{
    sandbox_place_timeout(sb, time_now_ms(), seconds);
    sb->events->changed(sb);
    sandbox_check_expiry(sb);
}

uint64_t sandbox_idle_ms(struct sandbox *sb)
{
    uint64_t now = uv_now(sb->target.loop), bytes = sb->net.rx + sb->net.tx;
    if (!list_empty(&sb->target.calls) || bytes != sb->idle_bytes)
        sb->target.used_ms = now;
    sb->idle_bytes = bytes;
    return now - MIN(sb->target.used_ms, now);
}

/* How long it may go on without traffic; INT64_MAX: for ever. */
static int64_t expiry_idle_left_ms(struct sandbox *sb)
{
    if (sb->owner.life.idle_s == 0)
        return INT64_MAX;
    return (int64_t)sb->owner.life.idle_s * 1000 - (int64_t)sandbox_idle_ms(sb);
}

static void expiry_arm(struct sandbox *sb, int64_t ms)
{
    if (!sb->expiry_active) {
        (void)uv_timer_init(sb->target.loop, &sb->expiry);
        sb->expiry_active = true;
    }
    (void)uv_timer_start(&sb->expiry, expiry_on_timer, (uint64_t)MAX(ms, (int64_t)1), 0);
}

bool sandbox_put_away(struct sandbox *sb, const char *why)
{
    struct error err;
    char quoted[300];
    int rv = sb->pause_tries < EXPIRY_TRIES
                 ? sb->events->may_pause(sb, &err)
                 : error_set(&err, ERROR_SANDBOX_FAILED, "It cannot be paused");
    if (rv == 0) {
        sb->pause_tries++;
        sb->pause_again_ms = time_boot_ms() + EXPIRY_RETRY_MS;
        rv = sandbox_pause(sb, NULL, &err);
    }
    log_line(rv == 0 ? LOG_INFO : LOG_WARN, rv == 0 ? "sandbox pauses" : "sandbox not paused",
             "sandbox=%s why=%s error=%s", sb->id, why,
             log_quote(quoted, sizeof(quoted), rv == 0 ? "" : err.message));
    return rv == 0;
}

/* Pauses it, perhaps later; false when it may not, and when it could not be often enough. */
static bool expiry_pause(struct sandbox *sb, const char *why)
{
    int64_t wait = sb->pause_again_ms - time_boot_ms();
    if (wait <= 0)
        return sandbox_put_away(sb, why);
    expiry_arm(sb, wait);
    return true;
}

static void expiry_check_running(struct sandbox *sb)
{
    int64_t left = expiry_left_ms(sb), idle = expiry_idle_left_ms(sb);
    if (left <= 0) {
        if (!sb->owner.life.pause_at_timeout || !expiry_pause(sb, "time-out"))
            sandbox_end(sb, SANDBOX_STATUS_TIMED_OUT, NULL, NULL);
    } else if (MIN(left, idle) == INT64_MAX) {
        if (sb->expiry_active)
            (void)uv_timer_stop(&sb->expiry);
    } else if (idle > 0) {
        expiry_arm(sb, MIN(left, idle));
    } else if (!expiry_pause(sb, "idle")) {
        expiry_arm(sb, MIN(left, (int64_t)EXPIRY_RETRY_MS));
    }
}

/* Arms the timer for what comes next. */
void sandbox_check_expiry(struct sandbox *sb)
{
    if (sb->phase == SANDBOX_RUNNING) {
        expiry_check_running(sb);
    } else if (sb->phase == SANDBOX_PAUSED) {
        int64_t left = expiry_left_ms(sb);
        if (left > 0)
            expiry_arm(sb, left);
        else
            sandbox_end(sb, SANDBOX_STATUS_TIMED_OUT, "It was paused for too long", NULL);
    }
}

static void expiry_on_timer(uv_timer_t *timer)
{
    sandbox_check_expiry(container_of(timer, struct sandbox, expiry));
}

void sandbox_stop_expiry(struct sandbox *sb)
{
    if (sb->expiry_active)
        uv_close((uv_handle_t *)&sb->expiry, expiry_on_closed);
}

static void expiry_on_closed(uv_handle_t *handle)
{
    struct sandbox *sb = container_of((uv_timer_t *)handle, struct sandbox, expiry);
    sb->expiry_active = false;
    sandbox_maybe_ended(sb);
}
