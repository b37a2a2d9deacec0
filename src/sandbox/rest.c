/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rest.c - the states of a sandbox in READY.
 *
 *   AWAKE ─▶ PAUSING ─▶ RESTING ─▶ RESUMING ─▶ AWAKE
 *
 * Both moves are operations of the driver, which bounds their time. A claim during PAUSING takes
 * effect when the pause is done. A sandbox that cannot be paused stays awake; one that cannot be
 * resumed has failed.
 */
#include "sandbox/rest.h"

#include "base/log.h"

static void rest_on_paused(void *ctx, int status, const struct error *err);
static void rest_on_resumed(void *ctx, int status, const struct error *err);

void sandbox_rest(struct sandbox *sb)
{
    if ((sb->instance->driver->ops->abilities & ISOLATION_RESTS) != 0 &&
        instance_pause(sb->instance, rest_on_paused) == 0)
        sb->rest = SANDBOX_REST_PAUSING;
}

static void rest_on_paused(void *ctx, int status, const struct error *err)
{
    struct sandbox *sb = ctx;
    char quoted[256];
    sb->rest = status == 0 ? SANDBOX_RESTING : SANDBOX_AWAKE;
    if (status < 0)
        log_warn("sandbox not paused", "sandbox=%s reason=%s", sb->id,
                 log_quote(quoted, sizeof(quoted), err->message));
    if (sb->claimed && sb->phase == SANDBOX_READY)
        sandbox_wake(sb, sb->awake);
}

void sandbox_wake(struct sandbox *sb, void (*awake)(struct sandbox *sb))
{
    sb->awake = awake;
    if (sb->rest == SANDBOX_AWAKE)
        awake(sb);
    else if (sb->rest == SANDBOX_RESTING && instance_resume(sb->instance, rest_on_resumed) == 0)
        sb->rest = SANDBOX_REST_RESUMING;
    else if (sb->rest == SANDBOX_RESTING)
        sandbox_end(sb, SANDBOX_STATUS_FAILED, "The sandbox cannot be resumed", NULL);
}

static void rest_on_resumed(void *ctx, int status, const struct error *err)
{
    struct sandbox *sb = ctx;
    if (sb->phase != SANDBOX_READY)
        return;
    sb->rest = SANDBOX_AWAKE;
    if (status < 0)
        sandbox_end(sb, SANDBOX_STATUS_FAILED, err->message, NULL);
    else
        sb->awake(sb);
}
