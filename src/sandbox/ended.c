/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ended.c - ended sandboxes: how long they stay listed, and what of them stays in memory.
 *
 * The list needs ids, times and states. What the client has attached may be large, and stays on
 * disk alone once the last record is there (sandbox_table_slim); sandbox_table_metadata reads it
 * back. Records are dropped, oldest first, when their time is over, when there are more than
 * SANDBOX_RETAINED_MAX, and when they take more than SANDBOX_RETAINED_BYTES.
 */
#include <errno.h>
#include <string.h>

#include "base/timefmt.h"
#include "core/metrics.h"
#include "sandbox/record.h"
#include "sandbox/table_internal.h"

static void table_on_slim(struct store_wait *w, int status);

static void table_drop(struct sandbox_table *t, struct sandbox *sb)
{
    metrics_add(sandbox_table_gauges[sb->counted], -1);
    /* After a failure the record stays; the next start drops it again. */
    (void)store_del(t->store, STORE_SANDBOXES, sb->id, ID_SIZE - 1);
    list_del(&sb->by_age);
    list_del(&sb->by_hash);
    list_del(&sb->in_pool);
    t->ended--;
    t->ended_bytes -= sb->record_bytes;
    sandbox_free(sb);
}

static bool table_is_full(const struct sandbox_table *t)
{
    return t->ended > SANDBOX_RETAINED_MAX || t->ended_bytes > SANDBOX_RETAINED_BYTES;
}

void sandbox_table_retention(uv_timer_t *timer)
{
    struct sandbox_table *t = container_of(timer, struct sandbox_table, retention);
    int64_t now = time_boot_ms(), next = INT64_MAX;
    struct list *it = t->by_age.prev;
    while (it != &t->by_age) {
        struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        it = it->prev;
        if (sb->phase != SANDBOX_ENDED || !list_empty(&sb->target.calls))
            continue;
        int64_t due = sb->ended_boot_ms + t->limits.retention_ms;
        if (due <= now || table_is_full(t))
            table_drop(t, sb);
        else
            next = MIN(next, due);
    }
    if (next != INT64_MAX)
        uv_timer_start(&t->retention, sandbox_table_retention, (uint64_t)(next - now), 0);
}

void sandbox_table_slim(struct sandbox *sb)
{
    free(TAKE_PTR(sb->owner.metadata));
    free(TAKE_PTR(sb->owner.provider));
    free(TAKE_PTR(sb->owner.region));
    free(TAKE_PTR(sb->owner.ties));
}

/* Waits for the last records of what has ended since the last flush. */
static void table_flush_ended(struct sandbox_table *t)
{
    if (!list_empty(&t->slimming) || list_empty(&t->to_slim))
        return;
    while (!list_empty(&t->to_slim)) {
        struct list *it = t->to_slim.next;
        list_del(it);
        list_add_tail(&t->slimming, it);
    }
    store_flush(t->store, &t->slim, table_on_slim);
}

static void table_on_slim(struct store_wait *w, int status)
{
    struct sandbox_table *t = container_of(w, struct sandbox_table, slim);
    list_for_each_safe (it, &t->slimming) {
        list_del(it);
        if (status == 0) /* otherwise memory has what the disk has not */
            sandbox_table_slim(list_entry(it, struct sandbox, in_pool));
    }
    table_flush_ended(t);
}

void sandbox_table_retain(struct sandbox_table *t, struct sandbox *sb)
{
    bool full = table_is_full(t);
    list_add_tail(&t->to_slim, &sb->in_pool);
    table_flush_ended(t);
    if (!uv_is_active((uv_handle_t *)&t->retention) || full)
        uv_timer_start(&t->retention, sandbox_table_retention,
                       full ? 0 : (uint64_t)t->limits.retention_ms, 0);
}

/* The record on disk is that of any moment: metadata never changes. */
int sandbox_table_metadata(const struct sandbox *sb, struct buf *ret)
{
    const struct sandbox_table *t = sb->table;
    cleanup_buf struct buf record = {0};
    if (sb->owner.metadata != NULL)
        return buf_append_str(ret, sb->owner.metadata);
    int rv = store_get(t->store, STORE_SANDBOXES, sb->id, ID_SIZE - 1, &record);
    if (rv < 0)
        return rv;
    struct sandbox *copy = sandbox_alloc(&sandbox_table_events, NULL);
    if (copy == NULL)
        return -ENOMEM;
    rv = sandbox_record_decode(copy, sb->id, ID_SIZE - 1, record.data, record.len);
    if (rv == 0)
        rv = buf_append_str(ret, copy->owner.metadata);
    sandbox_free(copy);
    return rv;
}
