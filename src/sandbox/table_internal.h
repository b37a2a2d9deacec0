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
    struct template_set *templates;
    struct snapshots *snapshots;
    struct sandbox_limits limits;
    struct pool *pool;
    struct list buckets[TABLE_BUCKETS];
    struct list by_age;  /* newest first */
    unsigned int live;   /* claimed and not ended */
    unsigned int paused; /* of these */
    unsigned int ended;  /* retained */
    size_t ended_bytes;  /* of their records */
    /* Ended sandboxes, by in_pool, whose last record is not on disk: those of the flush under way,
     * and those of the next one. */
    struct list slimming, to_slim;
    struct store_wait slim;
    /* A sandbox that was created cold gets its kernels started once no create waits any more: a
     * burst of creates must not be slowed down by the sandboxes that it has already handed out. */
    struct list to_warm;   /* by in_pool, oldest first */
    unsigned int starting; /* claimed and not running yet */
    unsigned int warming;
    uint64_t room_mb; /* relief.c: of the next create, until there is room; 0: no matter */
    uv_timer_t relief;
    uv_timer_t later; /* next turn of the loop: one move must not start another */
    uv_timer_t retention;
    unsigned int adopting; /* adopted and not running yet */
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

/* Whether the host's limits allow one more sandbox with that memory; `err` says which does not. */
int sandbox_table_has_room(const struct sandbox_table *t, uint64_t memory_mb, struct error *err);
/* Pauses an idle sandbox when there is no room for another create like the last one. */
void sandbox_table_keep_room(struct sandbox_table *t);

/* Of the timer `later`: reports that every sandbox is adopted, and starts warm-ups. */
void sandbox_table_later(uv_timer_t *timer);
/* ended.c: of the timer `retention`: drops ended sandboxes, oldest first, whose time is over or
 * that are too many, and arms the timer for the next one. */
void sandbox_table_retention(uv_timer_t *timer);
/* It has ended: it stays for its time, and large fields leave memory once they are on disk. */
void sandbox_table_retain(struct sandbox_table *t, struct sandbox *sb);
/* Frees the fields that are on disk. */
void sandbox_table_slim(struct sandbox *sb);

/* Whether the account may have one more snapshot, or paused sandbox, by the bytes that they take:
 * 0, or -EINVAL with `err` filled. What the new one will take nobody knows: the last may be over.
 */
int sandbox_table_may_keep(const struct sandbox_table *t, const char *account, struct error *err);

#endif
