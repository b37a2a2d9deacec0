/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c - what a new server does with the sandboxes of the one before it: it lists ended ones
 * again, adopts those that run or are paused, fails those that were being created, and sweeps what
 * nobody owns.
 *
 * A server may have been killed at any moment, so the records alone decide: the sweep removes every
 * instance that no record of such a sandbox names, those of the old pool among them.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "sandbox/record.h"
#include "sandbox/table_internal.h"

/* Nothing of it can run. The sweep removes what exists of it. */
static void table_lost(struct sandbox *sb, const char *reason)
{
    sb->status = SANDBOX_STATUS_FAILED;
    sb->ended_ms = time_now_ms();
    sb->reason = strdup(reason);
    sandbox_table_write(sb);
}

/* Since the record was written the host was started again, and its process ids mean others. */
static bool table_is_of_another_start(const struct sandbox *sb)
{
    return sb->boot_id[0] != '\0' && strcmp(sb->boot_id, sandbox_boot_id()) != 0;
}

/* Files outlive a host. What has the time of its start does not. */
static bool table_outlives_host(struct sandbox *sb)
{
    if (sb->stored)
        sb->timeout_boot_ms = 0;
    return sb->stored;
}

/* Runs or is paused. */
static bool table_lives(const struct sandbox *sb)
{
    return sb->status == SANDBOX_STATUS_RUNNING || sb->status == SANDBOX_STATUS_STOPPED;
}

static int table_load_record(void *ctx, const void *key, size_t keylen, const void *val,
                             size_t vallen)
{
    struct sandbox_table *t = ctx;
    struct sandbox *sb = sandbox_alloc(&sandbox_table_events, t);
    if (sb == NULL)
        return -ENOMEM;
    if (sandbox_record_decode(sb, key, keylen, val, vallen) < 0) {
        log_error("sandbox record skipped", "key=%.*s", (int)MIN(keylen, 36u), (const char *)key);
        sandbox_free(sb);
        return 0;
    }
    sb->claimed = true;
    sb->record_bytes = vallen;
    if (sb->status == SANDBOX_STATUS_CREATING)
        table_lost(sb, "The server ended while the sandbox was being created");
    else if (table_lives(sb) && table_is_of_another_start(sb) && !table_outlives_host(sb))
        table_lost(sb, "The host was restarted");
    else if (sb->stored && (t->host.driver->ops->abilities & ISOLATION_STORES) == 0)
        table_lost(sb, "The server runs sandboxes of another kind");
    int64_t ago = time_now_ms() - sb->ended_ms;
    sb->ended_boot_ms = time_boot_ms() - MIN(MAX(ago, (int64_t)0), t->limits.retention_ms);
    bool lives = table_lives(sb);
    sb->phase = lives ? SANDBOX_NEW : SANDBOX_ENDED;
    sb->counted = sb->status;
    metrics_add(sandbox_table_gauges[sb->status], 1);
    sandbox_table_insert(t, sb);
    if (!lives)
        sandbox_table_slim(sb);
    return 0;
}

static bool table_keeps(void *ctx, const char *id)
{
    const struct sandbox *sb = sandbox_table_lookup(ctx, id);
    return sb != NULL && sb->phase != SANDBOX_ENDED;
}

int sandbox_table_recover(struct sandbox_table *t, const struct template *warm,
                          void (*recovered)(void *ctx), void *ctx, struct error *err)
{
    int rv = store_each(t->store, STORE_SANDBOXES, table_load_record, t);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot read the sandbox records");
    isolation_sweep(t->host.driver, table_keeps, t);
    list_for_each_safe (it, &t->by_age) {
        struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        if (sb->phase != SANDBOX_NEW)
            continue;
        t->adopting++;
        sandbox_adopt(sb, &t->host);
    }
    if (t->adopting > 0)
        log_info("adopting sandboxes", "count=%u", t->adopting);
    t->recovered = recovered;
    t->recovered_ctx = ctx;
    uv_timer_start(&t->later, sandbox_table_later, 0, 0);
    sandbox_table_retention(&t->retention);
    pool_start(t->pool, warm);
    return 0;
}
