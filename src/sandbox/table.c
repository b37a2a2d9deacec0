/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - see table.h.
 *
 * The table follows its sandboxes by their events (table_phase, table_ended) and never looks for
 * changes. It keeps a sandbox after its end as long as the retention says, because clients ask what
 * became of it, and frees it when no call of a client hangs on it any more.
 *
 * Lookups by id go through the hash; everything else walks by_age. A host has at most some thousand
 * sandboxes, so an index for each question would cost more than it saves.
 */
#include "sandbox/table_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "core/metrics.h"
#include "sandbox/capture.h"
#include "sandbox/pause.h"
#include "sandbox/record.h"
#include "snapshot/set.h"

#define TABLE_WARM_MAX 2 /* sandboxes whose kernels are started ahead at once */

static void table_phase(struct sandbox *sb, enum sandbox_phase old);
static void table_warmed(struct sandbox *sb);
static void table_ended(struct sandbox *sb);
static void table_commit(struct sandbox *sb, void (*then)(struct store_wait *w, int status));
static int table_may_pause(struct sandbox *sb, struct error *err);
static void table_pool_empty(void *ctx);
static void table_maybe_stopped(struct sandbox_table *t);

const struct sandbox_events sandbox_table_events = {
    .phase = table_phase,
    .changed = sandbox_table_write,
    .warmed = table_warmed,
    .ended = table_ended,
    .commit = table_commit,
    .may_pause = table_may_pause,
};

struct sandbox_table *sandbox_table_new(uv_loop_t *loop, struct store *store,
                                        struct template_set *templates, struct snapshots *snapshots,
                                        const struct sandbox_host *host,
                                        const struct sandbox_limits *limits)
{
    struct sandbox_table *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->loop = loop;
    t->store = store;
    t->host = *host;
    t->templates = templates;
    t->snapshots = snapshots;
    t->limits = *limits;
    t->pool = pool_new(loop, &t->host, templates, limits->pool_size, table_pool_empty, t);
    if (t->pool == NULL) {
        free(t);
        return NULL;
    }
    for (size_t i = 0; i < TABLE_BUCKETS; i++)
        list_init(&t->buckets[i]);
    list_init(&t->by_age);
    list_init(&t->to_warm);
    list_init(&t->to_slim);
    list_init(&t->slimming);
    uv_timer_init(loop, &t->later);
    uv_timer_init(loop, &t->retention);
    uv_timer_init(loop, &t->relief);
    return t;
}

/* Ids are random, so any of their digits make a hash. */
static struct list *table_bucket(struct sandbox_table *t, const char *id)
{
    unsigned int hash = 0;
    for (size_t i = 0; i < 8; i++)
        hash = hash * 31 + (unsigned char)id[i];
    return &t->buckets[hash % TABLE_BUCKETS];
}

void sandbox_table_insert(struct sandbox_table *t, struct sandbox *sb)
{
    struct list *pos = t->by_age.next;
    while (pos != &t->by_age &&
           list_entry(pos, struct sandbox, by_age)->started_ms > sb->started_ms &&
           sb->started_ms != 0)
        pos = pos->next;
    list_add_tail(pos, &sb->by_age);
    list_add_tail(table_bucket(t, sb->id), &sb->by_hash);
    if (sb->phase == SANDBOX_ENDED) {
        t->ended++;
        t->ended_bytes += sb->record_bytes;
    } else {
        t->live++;
    }
}

const enum metric sandbox_table_gauges[SANDBOX_STATUS_COUNT] = {
    [SANDBOX_STATUS_CREATING] = METRIC_SANDBOXES_CREATING,
    [SANDBOX_STATUS_RUNNING] = METRIC_SANDBOXES_RUNNING,
    [SANDBOX_STATUS_STOPPED] = METRIC_SANDBOXES_STOPPED,
    [SANDBOX_STATUS_FAILED] = METRIC_SANDBOXES_FAILED,
    [SANDBOX_STATUS_TERMINATED] = METRIC_SANDBOXES_TERMINATED,
    [SANDBOX_STATUS_TIMED_OUT] = METRIC_SANDBOXES_TIMED_OUT,
};

/* The memory of one that is frozen stays in use. */
int sandbox_table_has_room(const struct sandbox_table *t, uint64_t memory_mb, struct error *err)
{
    if (sandbox_table_live(t) >= t->limits.max_live)
        return error_set(err, ERROR_QUOTA_EXCEEDED, "The host runs %u sandboxes, its limit",
                         sandbox_table_live(t));
    list_for_each (it, &t->by_age) {
        const struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        if (sb->phase != SANDBOX_ENDED && (sb->phase != SANDBOX_PAUSED || sb->instance != NULL))
            memory_mb += sb->memory_mb;
    }
    if (t->limits.max_memory_mb > 0 && memory_mb > t->limits.max_memory_mb)
        return error_set(err, ERROR_QUOTA_EXCEEDED,
                         "The host's memory for sandboxes is in use (%llu MiB)",
                         (unsigned long long)t->limits.max_memory_mb);
    return 0;
}

/* Whether one more sandbox fits beside those that are awake; the answer to the client if not. */
static int table_admit(const struct sandbox_table *t, uint64_t memory_mb, const char *account,
                       struct error *err)
{
    unsigned int of_account = 0;
    if (t->stopping)
        return error_set(err, ERROR_UNAVAILABLE, "The server is stopping");
    list_for_each (it, &t->by_age) {
        const struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        of_account += sb->phase != SANDBOX_ENDED && sb->phase != SANDBOX_PAUSED &&
                      strcmp(sb->owner.account, account) == 0;
    }
    if (of_account >= t->limits.max_account)
        return error_set(err, ERROR_QUOTA_EXCEEDED, "The account runs %u sandboxes, its limit",
                         of_account);
    return sandbox_table_has_room(t, memory_mb, err);
}

/* A sandbox with that memory has been asked for: the next one is to find room. */
static void table_make_room(struct sandbox_table *t, uint64_t memory_mb)
{
    if (!t->limits.relieve)
        return;
    t->room_mb = memory_mb;
    sandbox_table_keep_room(t);
}

/* Whether a sandbox of the template is as it should be: those of the pool are. */
static bool table_fits(const struct template *tpl, const struct sandbox_params *p)
{
    return p->snapshot == NULL && (p->vcpus == 0 || p->vcpus == tpl->vcpus) &&
           (p->memory_mb == 0 || p->memory_mb == tpl->memory_mb) &&
           (p->disk_mb == 0 || p->disk_mb == tpl->disk_mb);
}

static void table_resize(struct sandbox *sb, const struct sandbox_params *p)
{
    sb->vcpus = p->vcpus != 0 ? p->vcpus : sb->vcpus;
    sb->memory_mb = p->memory_mb != 0 ? p->memory_mb : sb->memory_mb;
    sb->disk_mb = p->disk_mb != 0 ? p->disk_mb : sb->disk_mb;
}

/* Its files stay while it starts: sandbox_capture_delete. */
static int table_take_snapshot(struct sandbox *sb, const struct snapshot *sn)
{
    if (sn == NULL)
        return 0;
    sb->afresh = sn->kind == SNAPSHOT_DISK && sandbox_capture_kind(sb->table) == SNAPSHOT_MEMORY;
    memcpy(sb->snapshot_id, sn->id, sizeof(sb->snapshot_id));
    sb->memory = instance_memory_get(sn->memory);
    sb->snapshot_dir = strdup(sn->dir);
    return sb->snapshot_dir != NULL ? 0 : -ENOMEM;
}

/* The template of a sandbox that is claimed and not started is there, or never will be. */
static void table_built(struct template_wait *w, const struct error *reason)
{
    struct sandbox *sb = container_of(w, struct sandbox, build);
    const struct sandbox_table *t = sb->table;
    if (reason != NULL)
        sandbox_end(sb, SANDBOX_STATUS_FAILED, reason->message, NULL);
    else if (sandbox_start(sb, &t->host, sb->t) < 0)
        sandbox_end(sb, SANDBOX_STATUS_FAILED, "The sandbox could not be started", NULL);
}

/* One that is started now, or when its template is built. */
static struct sandbox *table_new(struct sandbox_table *t, const struct template *tpl,
                                 const struct sandbox_params *p, struct error *err)
{
    struct sandbox *sb = sandbox_new(tpl, &sandbox_table_events, t);
    int rv = sb != NULL ? 0 : -ENOMEM;
    if (sb != NULL) {
        table_resize(sb, p);
        rv = table_take_snapshot(sb, p->snapshot);
    }
    if (rv == 0 && !tpl->built) {
        sb->t = tpl;
        sb->build.done = table_built;
        rv = template_builder_wait(t->templates->builder, tpl, &sb->build, 0, err);
    } else if (rv == 0) {
        rv = sandbox_start(sb, &t->host, tpl);
    }
    if (rv == 0)
        return sb;
    if (rv != -EAGAIN)
        error_set_errno(err, rv == -ENOSPC ? ERROR_NO_SPACE : ERROR_SANDBOX_FAILED, rv,
                        "The sandbox could not be started");
    if (sb != NULL)
        sandbox_free(sb);
    return NULL;
}

static void table_add_snapshot(void *ctx, struct snapshot *sn)
{
    uint64_t *sum = ctx;
    *sum += sn->bytes;
}

int sandbox_table_may_keep(const struct sandbox_table *t, const char *account, struct error *err)
{
    uint64_t sum = 0, limit = t->limits.max_kept_disk;
    if (limit == 0)
        return 0;
    snapshots_each(t->snapshots, account, table_add_snapshot, &sum);
    list_for_each (it, &t->by_age) {
        const struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        if (sb->phase == SANDBOX_PAUSED && strcmp(sb->owner.account, account) == 0)
            sum += sb->disk_bytes;
    }
    if (sum < limit)
        return 0;
    return error_set(err, ERROR_QUOTA_EXCEEDED,
                     "The account's snapshots and paused sandboxes take %llu MiB of the disk, "
                     "its limit is %llu MiB",
                     (unsigned long long)(sum >> 20), (unsigned long long)(limit >> 20));
}

static int table_may_pause(struct sandbox *sb, struct error *err)
{
    const struct sandbox_table *t = sb->table;
    unsigned int paused = 0;
    list_for_each (it, &t->by_age) {
        const struct sandbox *other = list_entry(it, struct sandbox, by_age);
        paused += sandbox_is_paused(other) && strcmp(other->owner.account, sb->owner.account) == 0;
    }
    if (paused >= t->limits.max_paused)
        return error_set(err, ERROR_QUOTA_EXCEEDED,
                         "The account has %u paused sandboxes, its limit", paused);
    return sandbox_table_may_keep(t, sb->owner.account, err);
}

static int table_not_running(const struct sandbox *sb, struct error *err)
{
    if (sandbox_is_paused(sb))
        return error_set(err, ERROR_SANDBOX_PAUSED, "The sandbox is paused");
    return error_set(err, ERROR_INVALID_STATE, "Sandbox is not running (%s)",
                     sandbox_status_str(sb->status));
}

bool sandbox_table_can_pause(const struct sandbox_table *t)
{
    return sandbox_can_pause(t->host.driver);
}

int sandbox_table_pause(struct sandbox *sb, struct sandbox_wait *w, struct error *err)
{
    const struct sandbox_table *t = sb->table;
    if (t->stopping)
        return error_set(err, ERROR_UNAVAILABLE, "The server is stopping");
    if (sb->phase != SANDBOX_RUNNING)
        return table_not_running(sb, err);
    int rv = table_may_pause(sb, err);
    return rv == 0 ? sandbox_pause(sb, w, err) : rv;
}

int sandbox_table_wake(struct sandbox *sb, struct sandbox_wait *w, struct error *err)
{
    if (sandbox_is_paused(sb) && sb->owner.life.auto_resume)
        return sandbox_table_resume(sb, 0, w, err);
    return table_not_running(sb, err);
}

int sandbox_table_resume(struct sandbox *sb, unsigned int seconds, struct sandbox_wait *w,
                         struct error *err)
{
    struct sandbox_table *t = sb->table;
    bool frozen = sb->instance != NULL;
    if (!sandbox_is_paused(sb))
        return error_set(err, ERROR_CONFLICT, "Sandbox is not paused (%s)",
                         sandbox_status_str(sb->status));
    int rv = sb->phase == SANDBOX_PAUSED
                 ? table_admit(t, frozen ? 0 : sb->memory_mb, sb->owner.account, err)
                 : 0;
    if (rv < 0)
        table_make_room(t, sb->memory_mb);
    else
        sandbox_resume(sb, seconds, w);
    return rv;
}

int sandbox_table_rollback(struct sandbox *sb, const char *dir, struct sandbox_wait *w,
                           struct error *err)
{
    struct sandbox_table *t = sb->table;
    int rv = 0;
    if (t->stopping)
        return error_set(err, ERROR_UNAVAILABLE, "The server is stopping");
    if (sb->phase == SANDBOX_PAUSED)
        rv = table_admit(t, sb->memory_mb, sb->owner.account, err);
    return rv == 0 ? sandbox_rollback(sb, dir, w, err) : rv;
}

struct sandbox *sandbox_table_create(struct sandbox_table *t, const struct template *tpl,
                                     const struct sandbox_params *params, struct sandbox_wait *w,
                                     struct error *err)
{
    struct sandbox_owner owner;
    unsigned int memory_mb = params->memory_mb != 0 ? params->memory_mb : tpl->memory_mb;
    uint64_t free_bytes = 0;
    if (space_is_low(t->host.space, &free_bytes)) {
        error_set(err, ERROR_HOST_FULL, "The host's disk has only %llu MiB left",
                  (unsigned long long)(free_bytes >> 20));
        return NULL;
    }
    if (table_admit(t, memory_mb, params->account, err) < 0) {
        table_make_room(t, memory_mb);
        return NULL;
    }
    if (sandbox_owner_init(&owner, params) < 0) {
        error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    struct sandbox *sb = table_fits(tpl, params) ? pool_take(t->pool, tpl, &sandbox_table_events, t)
                                                 : NULL;
    if (sb == NULL && (sb = table_new(t, tpl, params, err)) == NULL) {
        sandbox_owner_done(&owner);
        return NULL;
    }
    sandbox_table_insert(t, sb);
    t->starting++;
    sb->creating = true;
    metrics_add(METRIC_SANDBOXES_CREATED, 1);
    sb->counted = sb->status;
    metrics_add(sandbox_table_gauges[sb->counted], 1);
    if (params->snapshot != NULL)
        (void)snapshot_used(params->snapshot); /* that it is not noted harms nobody */
    sandbox_claim(sb, &owner, w);
    table_make_room(t, memory_mb);
    return sb;
}

struct sandbox *sandbox_table_lookup(struct sandbox_table *t, const char *id)
{
    list_for_each (it, table_bucket(t, id)) {
        struct sandbox *sb = list_entry(it, struct sandbox, by_hash);
        if (strcmp(sb->id, id) == 0)
            return sb;
    }
    return NULL;
}

struct sandbox *sandbox_table_find(struct sandbox_table *t, const char *id)
{
    struct sandbox *sb = sandbox_table_lookup(t, id);
    if (sb != NULL && sandbox_is_expired(sb))
        sandbox_check_expiry(sb);
    return sb;
}

struct sandbox *sandbox_table_find_key(struct sandbox_table *t, const char *account,
                                       const char *idempotency_key)
{
    list_for_each (it, &t->by_age) {
        struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        if (sb->owner.idempotency_key != NULL &&
            strcmp(sb->owner.idempotency_key, idempotency_key) == 0 &&
            strcmp(sb->owner.account, account) == 0)
            return sb;
    }
    return NULL;
}

unsigned int sandbox_table_list(struct sandbox_table *t, const char *account, unsigned int offset,
                                unsigned int limit,
                                bool (*wanted)(void *ctx, const struct sandbox *sb),
                                void (*visit)(void *ctx, struct sandbox *sb), void *ctx)
{
    unsigned int total = 0;
    list_for_each (it, &t->by_age) {
        struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        if (strcmp(sb->owner.account, account) != 0 || (wanted != NULL && !wanted(ctx, sb)))
            continue;
        if (total >= offset && total - offset < limit)
            visit(ctx, sb);
        total++;
    }
    return total;
}

bool sandbox_table_search(struct sandbox_table *t,
                          bool (*is_it)(void *ctx, const struct sandbox *sb), void *ctx)
{
    list_for_each (it, &t->by_age) {
        if (is_it(ctx, list_entry(it, struct sandbox, by_age)))
            return true;
    }
    return false;
}

unsigned int sandbox_table_live(const struct sandbox_table *t)
{
    return t->live - t->paused;
}

bool sandbox_table_full_disk(const struct sandbox_table *t)
{
    uint64_t free_bytes = 0;
    return space_is_low(t->host.space, &free_bytes);
}

/* Starts the next warm-ups unless a create still waits. */
static void table_warm(struct sandbox_table *t)
{
    while (t->starting == 0 && t->warming < TABLE_WARM_MAX && !list_empty(&t->to_warm)) {
        struct sandbox *sb = list_first(&t->to_warm, struct sandbox, in_pool);
        list_del(&sb->in_pool);
        t->warming++;
        sandbox_warm_kernels(sb);
    }
}

void sandbox_table_later(uv_timer_t *timer)
{
    struct sandbox_table *t = container_of(timer, struct sandbox_table, later);
    void (*recovered)(void *ctx) = t->recovered;
    if (recovered != NULL && t->adopting == 0) {
        t->recovered = NULL;
        recovered(t->recovered_ctx);
    }
    table_warm(t);
    sandbox_table_keep_room(t);
}

static void table_warmed(struct sandbox *sb)
{
    struct sandbox_table *t = sb->table;
    t->warming--;
    uv_timer_start(&t->later, sandbox_table_later, 0, 0);
}

/* A status changes only together with a phase: the gauges count the old one out and the new one in.
 */
static void table_count(struct sandbox *sb)
{
    if (sb->counted == sb->status)
        return;
    metrics_add(sandbox_table_gauges[sb->counted], -1);
    metrics_add(sandbox_table_gauges[sb->status], 1);
    sb->counted = sb->status;
}

static void table_phase(struct sandbox *sb, enum sandbox_phase old)
{
    struct sandbox_table *t = sb->table;
    table_count(sb);
    if (old == SANDBOX_PAUSED)
        t->paused--;
    if (sb->phase == SANDBOX_PAUSED)
        t->paused++;
    if (sb->phase != SANDBOX_RUNNING && sb->phase != SANDBOX_PAUSED &&
        sb->phase != SANDBOX_STOPPING)
        return;
    if (sb->adopted)
        t->adopting--;
    if (sb->creating)
        t->starting--;
    if (sb->phase != SANDBOX_RUNNING)
        list_del(&sb->in_pool);
    else if (sb->creating && !sb->bridge_started)
        list_add_tail(&t->to_warm, &sb->in_pool);
    if (sb->phase == SANDBOX_STOPPING)
        list_del(&sb->build.node);
    sb->adopted = sb->creating = false;
    uv_timer_start(&t->later, sandbox_table_later, 0, 0);
}

static void table_commit(struct sandbox *sb, void (*then)(struct store_wait *w, int status))
{
    struct sandbox_table *t = sb->table;
    store_flush(t->store, &sb->commit, then);
}

void sandbox_table_write(struct sandbox *sb)
{
    struct sandbox_table *t = sb->table;
    struct buf record = {0};
    sandbox_record_encode(&record, sb);
    sb->record_bytes = record.len;
    int rv = record.failed ? -ENOMEM
                           : store_put(t->store, STORE_SANDBOXES, sb->id, ID_SIZE - 1, record.data,
                                       record.len);
    if (rv < 0)
        log_error("sandbox record not written", "sandbox=%s error=\"%s\"", sb->id, strerror(-rv));
    buf_done(&record);
}

static void table_ended(struct sandbox *sb)
{
    struct sandbox_table *t = sb->table;
    t->live--;
    t->ended++;
    t->ended_bytes += sb->record_bytes;
    sandbox_table_retain(t, sb);
    table_maybe_stopped(t);
}

static void table_pool_empty(void *ctx)
{
    table_maybe_stopped(ctx);
}

/* The counters of a network change too often for a record each time. */
static void table_keep_counters(struct sandbox_table *t)
{
    list_for_each (it, &t->by_age) {
        struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        if (sb->phase == SANDBOX_RUNNING && sb->net.rx + sb->net.tx > 0)
            sandbox_table_write(sb);
    }
}

void sandbox_table_refill(struct sandbox_table *t)
{
    pool_refill(t->pool);
}

void sandbox_table_stop(struct sandbox_table *t, bool all, void (*done)(void *ctx), void *ctx)
{
    t->stopping = true;
    if (all) {
        list_for_each_safe (it, &t->by_age) {
            struct sandbox *sb = list_entry(it, struct sandbox, by_age);
            if (sb->phase < SANDBOX_STOPPING)
                sandbox_end(sb, SANDBOX_STATUS_TERMINATED, "The server was stopped", NULL);
        }
    }
    table_keep_counters(t);
    pool_stop(t->pool);
    /* Only now: one that waits for its template ends at once, before the others are told to. */
    t->stopped = done;
    t->stopped_ctx = ctx;
    table_maybe_stopped(t);
}

/* Waits for what is stopping; what still runs belongs to the next server. */
static void table_maybe_stopped(struct sandbox_table *t)
{
    if (!t->stopping || t->stopped == NULL || !pool_is_empty(t->pool))
        return;
    list_for_each (it, &t->by_age) {
        if (list_entry(it, struct sandbox, by_age)->phase == SANDBOX_STOPPING)
            return;
    }
    void (*stopped)(void *ctx) = t->stopped;
    t->stopped = NULL;
    stopped(t->stopped_ctx);
}
