/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/file.h"
#include "core/metrics.h"
#include "core/step.h"
#include "store/db.h"
#include "store/state_lock.h"
#include "store/waits.h"

#define STORE_KEEP_BUF  (256u * 1024) /* bytes of a batch's memory kept for the next one */
#define STORE_RETRY_MAX 60000         /* ms */
#define STORE_HANDLES   3

/* Changes and who waits for them. */
struct store_batch {
    struct buf ops;
    struct list waits;
};

/*
 * idle --put--> armed --end of turn--> busy --ok--> idle or armed
 *                 ^                      |
 *                 +--new put, or timer-- failed (changes stay in `running`)
 */
struct store {
    uv_loop_t *loop;
    struct db *db;              /* owned */
    int lock_fd;                /* owned */
    int db_lock_fd;             /* of a database that is elsewhere; -1: none */
    bool beside;                /* another process has the lock */
    struct store_batch pending; /* collects */
    struct store_batch running; /* on the pool, or left over from a failed commit */
    bool armed;                 /* the turn handles are active */
    bool busy;                  /* the pool works on `running` */
    bool closing;
    bool final; /* the last try of store_close was made */
    int status; /* of the last commit */
    unsigned int retry_ms;
    unsigned int open_handles;
    uv_prepare_t prepare; /* changes made in timers and outside the loop */
    uv_check_t check;     /* changes made by what the poll found */
    uv_timer_t retry;
    uv_work_t work;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void store_on_prepare(uv_prepare_t *handle);
static void store_on_check(uv_check_t *handle);
static void store_turn(struct store *s);
static void store_submit(struct store *s);
static void store_work(uv_work_t *work);
static void store_on_work(uv_work_t *work, int status);
static void store_on_retry(uv_timer_t *handle);
static void store_finished(struct store *s, int result);
static void store_last_try(struct store *s);
static void store_on_close(uv_handle_t *handle);

/* A database that is elsewhere now would be forgotten, and its sandboxes swept. */
static int store_check_moved(const char *own, const char *db_dir, struct error *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/data.mdb", own);
    if (n < 0 || (size_t)n >= sizeof(path) || strcmp(own, db_dir) == 0 || access(path, F_OK) < 0)
        return 0;
    return error_set(err, ERROR_STORAGE_FAILED,
                     "There is a database in %.150s: move its files to the directory of --db-dir, "
                     "or remove them",
                     own);
}

/* Its own lock keeps servers of two state directories out of one database. */
static int store_lock_elsewhere(struct store *s, const char *db_dir, struct error *err)
{
    int rv = file_make_dirs(db_dir, 0700);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot make %.150s", db_dir);
    return s->beside ? 0 : state_lock(db_dir, &s->db_lock_fd, err);
}

static int store_open_files(struct store *s, const char *state_dir, const char *db_dir,
                            size_t map_size, struct error *err)
{
    char own[PATH_MAX];
    bool elsewhere = db_dir != NULL && db_dir[0] != '\0';
    int n = snprintf(own, sizeof(own), "%s/db", state_dir);
    if (n < 0 || (size_t)n >= sizeof(own))
        return error_set_errno(err, ERROR_STORAGE_FAILED, -ENAMETOOLONG, "State directory");
    int rv = file_make_dirs(state_dir, 0700);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot make %.150s", state_dir);
    rv = s->beside ? 0 : state_lock(state_dir, &s->lock_fd, err);
    if (rv == 0 && elsewhere)
        rv = store_check_moved(own, db_dir, err);
    if (rv == 0 && elsewhere)
        rv = store_lock_elsewhere(s, db_dir, err);
    if (rv < 0)
        return rv;
    rv = db_open(&s->db, elsewhere ? db_dir : own, map_size, err);
    if (rv == 0)
        (void)file_sync_dir(state_dir);
    return rv;
}

static void store_free(struct store *s)
{
    db_close(s->db);
    base_close_p(&s->lock_fd);
    base_close_p(&s->db_lock_fd);
    buf_done(&s->pending.ops);
    buf_done(&s->running.ops);
    free(s);
}

static int store_open_as(struct store **ret, uv_loop_t *loop, const char *state_dir,
                         const char *db_dir, size_t map_size, bool beside, struct error *err)
{
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "Cannot open the state");
    s->loop = loop;
    s->beside = beside;
    s->lock_fd = s->db_lock_fd = -1;
    list_init(&s->pending.waits);
    list_init(&s->running.waits);
    int rv = store_open_files(s, state_dir, db_dir, map_size, err);
    if (rv < 0) {
        store_free(s);
        return rv;
    }
    /* These three cannot fail. */
    (void)uv_prepare_init(loop, &s->prepare);
    (void)uv_check_init(loop, &s->check);
    (void)uv_timer_init(loop, &s->retry);
    uv_handle_set_data((uv_handle_t *)&s->prepare, s);
    uv_handle_set_data((uv_handle_t *)&s->check, s);
    uv_handle_set_data((uv_handle_t *)&s->retry, s);
    s->open_handles = STORE_HANDLES;
    *ret = s;
    return 0;
}

int store_open(struct store **ret, uv_loop_t *loop, const char *state_dir, const char *db_dir,
               size_t map_size, struct error *err)
{
    return store_open_as(ret, loop, state_dir, db_dir, map_size, false, err);
}

int store_open_beside(struct store **ret, uv_loop_t *loop, const char *state_dir,
                      const char *db_dir, size_t map_size, struct error *err)
{
    return store_open_as(ret, loop, state_dir, db_dir, map_size, true, err);
}

int store_each(struct store *s, enum store_table table,
               int (*visit)(void *ctx, const void *key, size_t keylen, const void *val,
                            size_t vallen),
               void *ctx)
{
    return db_each(s->db, table, visit, ctx);
}

int store_get(struct store *s, enum store_table table, const void *key, size_t keylen,
              struct buf *ret)
{
    return db_get(s->db, table, key, keylen, ret);
}

/* A prepare or check handle alone would miss changes made after its place in the turn, and the
 * loop would sleep on them. Both stop as soon as the batch is handed over. */
static void store_arm(struct store *s)
{
    if (s->armed || s->busy || s->closing)
        return;
    s->armed = true;
    (void)uv_prepare_start(&s->prepare, store_on_prepare);
    (void)uv_check_start(&s->check, store_on_check);
}

static void store_disarm(struct store *s)
{
    s->armed = false;
    (void)uv_prepare_stop(&s->prepare);
    (void)uv_check_stop(&s->check);
    (void)uv_timer_stop(&s->retry);
}

static int store_change(struct store *s, enum store_table table, const void *key, size_t keylen,
                        const void *val, size_t vallen)
{
    if (s->closing)
        return -ECANCELED;
    if (keylen == 0 || keylen > STORE_MAX_KEY || vallen > STORE_MAX_VALUE)
        return -EINVAL;
    if (s->pending.ops.len + s->running.ops.len + keylen + vallen > STORE_MAX_PENDING)
        return -ENOBUFS;
    int rv = db_batch_add(&s->pending.ops, table, key, keylen, val, vallen);
    if (rv == 0)
        store_arm(s);
    return rv;
}

int store_put(struct store *s, enum store_table table, const void *key, size_t keylen,
              const void *val, size_t vallen)
{
    return store_change(s, table, key, keylen, vallen > 0 ? val : "", vallen);
}

int store_del(struct store *s, enum store_table table, const void *key, size_t keylen)
{
    return store_change(s, table, key, keylen, NULL, 0);
}

void store_flush(struct store *s, struct store_wait *w,
                 void (*cb)(struct store_wait *w, int status))
{
    /* A commit that is under way covers everything only when nothing was put since it began. */
    struct store_batch *b = s->busy && s->pending.ops.len == 0 ? &s->running : &s->pending;
    w->cb = cb;
    list_add_tail(&b->waits, &w->link);
    store_arm(s);
}

static void store_on_prepare(uv_prepare_t *handle)
{
    store_turn(container_of(handle, struct store, prepare));
}

static void store_on_check(uv_check_t *handle)
{
    store_turn(container_of(handle, struct store, check));
}

static void store_on_retry(uv_timer_t *handle)
{
    store_turn(container_of(handle, struct store, retry));
}

static void store_turn(struct store *s)
{
    store_disarm(s);
    if (s->pending.ops.len + s->running.ops.len == 0)
        store_waits_answer(&s->pending.waits, 0);
    else
        store_submit(s);
}

/* Moves what is pending behind what is left of a failed commit. */
static void store_gather(struct store *s)
{
    if (s->running.ops.len == 0) {
        struct buf empty = s->running.ops;
        s->running.ops = s->pending.ops;
        s->pending.ops = empty;
    } else if (buf_append(&s->running.ops, s->pending.ops.data, s->pending.ops.len) < 0) {
        /* No memory to join them: the older changes go alone and the newer ones follow. */
        s->running.ops.failed = false;
        return;
    }
    buf_reset(&s->pending.ops);
    store_waits_move(&s->running.waits, &s->pending.waits);
}

static void store_submit(struct store *s)
{
    store_gather(s);
    step_reach("store", "submitted");
    s->busy = true;
    (void)uv_queue_work(s->loop, &s->work, store_work, store_on_work);
}

static void store_work(uv_work_t *work)
{
    struct store *s = container_of(work, struct store, work);
    s->status = db_commit(s->db, &s->running.ops);
}

static void store_forget(struct buf *b)
{
    if (b->cap > STORE_KEEP_BUF)
        buf_done(b);
    else
        buf_reset(b);
}

static void store_failed(struct store *s, int status)
{
    s->retry_ms = s->retry_ms == 0 ? STORE_RETRY_MS : MIN(s->retry_ms * 2, STORE_RETRY_MAX);
    metrics_add(METRIC_STORE_FAILURES, 1);
    log_error("state not written, will try again", "error=\"%s\" bytes=%zu", strerror(-status),
              s->running.ops.len);
}

static void store_succeeded(struct store *s)
{
    if (s->retry_ms > 0)
        log_info("state written again");
    s->retry_ms = 0;
    metrics_add(METRIC_STORE_COMMITS, 1);
    step_reach("store", "committed");
    store_forget(&s->running.ops);
}

static void store_on_work(uv_work_t *work, int status)
{
    struct store *s = container_of(work, struct store, work);
    (void)status; /* never cancelled */
    if (s->status == -EXFULL) {
        s->status = db_grow(s->db);
        if (s->status == 0) {
            log_info("state map grown", "bytes=%zu", db_map_size(s->db));
            (void)uv_queue_work(s->loop, &s->work, store_work, store_on_work);
            return;
        }
    }
    store_finished(s, s->status);
}

static void store_finished(struct store *s, int result)
{
    bool closing = s->closing;
    s->busy = false;
    if (result < 0)
        store_failed(s, result);
    else
        store_succeeded(s);
    store_waits_answer(&s->running.waits, result);
    if (closing)
        store_last_try(s);
    else if (s->closing)
        return; /* one of the answered closed the store */
    else if (s->pending.ops.len > 0 || !list_empty(&s->pending.waits))
        store_arm(s);
    else if (result < 0)
        (void)uv_timer_start(&s->retry, store_on_retry, s->retry_ms, 0);
}

int store_commit(struct store *s)
{
    if (s->busy)
        return -EBUSY;
    if (s->pending.ops.len + s->running.ops.len == 0)
        return 0;
    store_gather(s);
    int rv = db_commit(s->db, &s->running.ops);
    while (rv == -EXFULL) {
        rv = db_grow(s->db);
        if (rv == 0)
            rv = db_commit(s->db, &s->running.ops);
    }
    store_disarm(s);
    if (rv < 0)
        store_failed(s, rv);
    else
        store_succeeded(s);
    /* Waiters hear from the loop, as always. If this try failed, they hear after the next one. */
    store_waits_move(&s->pending.waits, &s->running.waits);
    if (!list_empty(&s->pending.waits))
        store_arm(s);
    else if (rv < 0 && !s->closing)
        (void)uv_timer_start(&s->retry, store_on_retry, s->retry_ms, 0);
    return rv;
}

void store_close(struct store *s, void (*closed)(void *ctx), void *ctx)
{
    s->closed = closed;
    s->closed_ctx = ctx;
    s->closing = true;
    store_disarm(s);
    if (!s->busy)
        store_last_try(s);
}

static void store_last_try(struct store *s)
{
    if (!s->final && s->pending.ops.len + s->running.ops.len > 0) {
        s->final = true;
        store_submit(s);
        return;
    }
    uv_close((uv_handle_t *)&s->prepare, store_on_close);
    uv_close((uv_handle_t *)&s->check, store_on_close);
    uv_close((uv_handle_t *)&s->retry, store_on_close);
}

static void store_on_close(uv_handle_t *handle)
{
    struct store *s = uv_handle_get_data(handle);
    if (--s->open_handles > 0)
        return;
    if (s->running.ops.len > 0)
        log_error("state lost at exit", "bytes=%zu", s->running.ops.len);
    int status = s->pending.ops.len + s->running.ops.len > 0 ? -EIO : 0;
    store_waits_answer(&s->running.waits, status);
    store_waits_answer(&s->pending.waits, status);
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;
    store_free(s);
    if (closed != NULL)
        closed(ctx);
}
