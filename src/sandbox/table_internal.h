/* SPDX-License-Identifier: Apache-2.0 */
/* table_internal.h - the table, for the files that it is made of. */
#ifndef CORRAL_SANDBOX_TABLE_INTERNAL_H
#define CORRAL_SANDBOX_TABLE_INTERNAL_H

#include "core/metrics.h"
#include "sandbox/pool.h"
#include "sandbox/table.h"

#define TABLE_BUCKETS 1024 /* a power of two */

struct sandbox_table {
    uv_loop_t *loop;
    struct store *store;
    struct sandbox_host host;
    struct sandbox_limits limits;
    struct pool *pool;
    struct list buckets[TABLE_BUCKETS];
    struct list by_age; /* newest first */
    unsigned int live;  /* claimed and not ended */
    unsigned int ended; /* retained */
    /* Sandboxes that were created cold get their kernels started once no create waits any more: a
     * burst of creates is not slowed down by what it has already given out. */
    struct list to_warm;   /* by in_pool, oldest first */
    unsigned int starting; /* claimed and not live yet */
    unsigned int warming;
    uv_timer_t later; /* fires on the loop's next turn: not from inside a phase change */
    uv_timer_t retention;
    unsigned int adopting; /* adopted and not live yet */
    void (*recovered)(void *ctx);
    void *recovered_ctx;
    bool stopping;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

extern const struct sandbox_events sandbox_table_events;
/* Which metric counts a status. */
extern const enum metric sandbox_table_gauges[SANDBOX_STATUS_COUNT];

/* Puts it on the lists, by its phase and age. */
void sandbox_table_insert(struct sandbox_table *t, struct sandbox *sb);
/* By lower-case id, whatever its time-out. NULL: none. */
struct sandbox *sandbox_table_lookup(struct sandbox_table *t, const char *id);
/* Writes the record; a failure is logged. */
void sandbox_table_write(struct sandbox *sb);

/* Of the timer `later`: says that all are adopted, starts warm-ups. */
void sandbox_table_later(uv_timer_t *timer);
/* Of the timer `retention`: drops ended sandboxes whose time is over or that are too many, oldest
 * first, and arms the timer for the next one. */
void sandbox_table_retention(uv_timer_t *timer);

#endif
