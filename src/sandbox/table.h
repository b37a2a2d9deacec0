/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - every sandbox of the server, by id and by age, with its record in the store: creates
 * them, recovers them after a restart, and decides how long ended ones stay listed.
 *
 * The table is the authority while the server runs, and the store is its durable copy. A record is
 * written when a sandbox runs, when its time-out changes and when it ends; that of one
 * with a name also when it is created.
 */
#ifndef CORRAL_SANDBOX_TABLE_H
#define CORRAL_SANDBOX_TABLE_H

#include "sandbox/sandbox.h"
#include "store/store.h"

/* Ended sandboxes kept at most, whatever the retention, and bytes of their records. */
#define SANDBOX_RETAINED_MAX   2000
#define SANDBOX_RETAINED_BYTES (16u << 20)

struct sandbox_limits {
    unsigned int max_live;    /* sandboxes of clients at once */
    unsigned int max_account; /* of one account */
    uint64_t max_memory_mb;   /* sum over all that have not ended; 0: no limit */
    unsigned int pool_size;   /* started ones kept ready per template in use */
    unsigned int max_paused;  /* of one account */
    uint64_t max_kept_disk;   /* bytes of its paused ones and its snapshots; 0: no limit */
    int64_t retention_ms;     /* how long ended ones stay listed */
    bool relieve;             /* idle ones are paused before a create has to be refused */
};

struct sandbox_table;
struct snapshots;

/* Nothing is started yet. Strings in `host` must outlive the table. NULL: out of memory. */
struct sandbox_table *sandbox_table_new(uv_loop_t *loop, struct store *store,
                                        struct template_set *templates, struct snapshots *snapshots,
                                        const struct sandbox_host *host,
                                        const struct sandbox_limits *limits);
/* Reads the records, sweeps what nobody owns (blocking), adopts what still runs and then fills the
 * pool with sandboxes of `warm` (may be NULL). `recovered` is called from the loop once every
 * sandbox is adopted or failed. Start-up only. */
int sandbox_table_recover(struct sandbox_table *t, const struct template *warm,
                          void (*recovered)(void *ctx), void *ctx, struct error *err);

/* The templates were read again: the pool fills up with those that are built now. */
void sandbox_table_refill(struct sandbox_table *t);

/* A new sandbox for an account, from the pool or started now, or when its template is built; `w` as
 * for sandbox_claim. NULL with `err` filled when there can be none. */
struct sandbox *sandbox_table_create(struct sandbox_table *t, const struct template *tpl,
                                     const struct sandbox_params *params, struct sandbox_wait *w,
                                     struct error *err);

/* By lower-case id; NULL when unknown or in the pool. One whose time is over is ended first. */
struct sandbox *sandbox_table_find(struct sandbox_table *t, const char *id);

/* The sandbox that was created with this key, also when it has ended. NULL: none. */
struct sandbox *sandbox_table_find_key(struct sandbox_table *t, const char *account,
                                       const char *idempotency_key);

/* Calls `visit` for those sandboxes of `account` that are `wanted` (NULL: all) and follow the first
 * `offset` of them, newest first, at most `limit`; returns how many are wanted. */
unsigned int sandbox_table_list(struct sandbox_table *t, const char *account, unsigned int offset,
                                unsigned int limit,
                                bool (*wanted)(void *ctx, const struct sandbox *sb),
                                void (*visit)(void *ctx, struct sandbox *sb), void *ctx);

/* Calls `is_it` for sandboxes of all accounts, newest first, until it says so; false: never. */
bool sandbox_table_search(struct sandbox_table *t,
                          bool (*is_it)(void *ctx, const struct sandbox *sb), void *ctx);

/* Appends the JSON that the client has attached; that of an ended sandbox is read from disk. */
int sandbox_table_metadata(const struct sandbox *sb, struct buf *ret);
/* Sandboxes of clients that have not ended and are not paused. */
unsigned int sandbox_table_live(const struct sandbox_table *t);

/* Whether the driver has a way to pause. */
bool sandbox_table_can_pause(const struct sandbox_table *t);
/* Pauses one that runs, or resumes one that is paused, when the limits allow it; `w` and `seconds`
 * as in pause.h. 0, or a negative errno with `err` filled and `w` is not called. */
int sandbox_table_pause(struct sandbox *sb, struct sandbox_wait *w, struct error *err);
int sandbox_table_resume(struct sandbox *sb, unsigned int seconds, struct sandbox_wait *w,
                         struct error *err);
/* Rolls it back to a snapshot of its own, as sandbox_rollback does, when the limits allow it. */
int sandbox_table_rollback(struct sandbox *sb, const char *dir, struct sandbox_wait *w,
                           struct error *err);
/* Resumes one that is paused and may be woken up by any request; the others get their error. */
int sandbox_table_wake(struct sandbox *sb, struct sandbox_wait *w, struct error *err);

/* Memory is short: pauses the sandbox that has been idle for the longest, if there is one that any
 * request wakes up, the driver can store it, and none is on its way. `why` is for the log. */
void sandbox_table_relieve(struct sandbox_table *t, const char *why);

/* Whether creates are refused because the host's disk has less space left than its reserve. */
bool sandbox_table_full_disk(const struct sandbox_table *t);

/* Ends the pool, and with `all` every sandbox; without it those of clients stay for the next
 * server. `done` is called once everything that had to end has ended. */
void sandbox_table_stop(struct sandbox_table *t, bool all, void (*done)(void *ctx), void *ctx);

#endif
