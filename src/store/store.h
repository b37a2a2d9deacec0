/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the server's durable state: named tables of key -> bytes, kept in STATE/db.
 *
 * The happy path is: store_open (reads are possible at once: store_each, store_get), then at any
 * time store_put and store_del, which only collect, and store_flush, which calls back once
 * everything put so far is on disk. What one turn of the loop collects is one batch: one
 * transaction with fsync on a pool thread. While it runs the next batch collects. store_close
 * commits what is left.
 * Possible failure modes are: the disk is full or fails (the batch's waiters get the negative
 * errno; its data stays pending, ahead of newer data, and is tried again with the next batch or
 * after STORE_RETRY_MS); too much is pending (store_put returns -ENOBUFS).
 *
 * An owner that answers "failed" after a failed flush must undo what it put (store_del), because
 * the data may still become durable.
 *
 * Loop thread only. No callback comes from inside a call. An idle store does not wake the loop.
 */
#ifndef CORRAL_STORE_STORE_H
#define CORRAL_STORE_STORE_H

#include <uv.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "store/keys.h"

#define STORE_MAP_SIZE    ((size_t)1 << 30) /* default size of the (sparse) map; it grows */
#define STORE_MAX_VALUE   (16u << 20)       /* bytes of one value */
#define STORE_MAX_PENDING (64u << 20)       /* bytes of a batch that has not been committed */
#define STORE_RETRY_MS    1000              /* after a failed commit, doubling up to a minute */

struct store;

/* Embedded in who waits. */
struct store_wait {
    struct list link;
    void (*cb)(struct store_wait *w, int status);
};

/* Opens (and at first use creates, mode 0700) `state_dir` and locks it against a second server.
 * The database is in `db_dir`, or in `state_dir`/db when that is NULL or empty. Blocking; start-up
 * only. `err` is filled on failure. */
int store_open(struct store **ret, uv_loop_t *loop, const char *state_dir, const char *db_dir,
               size_t map_size, struct error *err);

/* As store_open for a sub command beside the server that holds the lock. LMDB orders the commits of
 * both; only tables that the server reads each time (USERS) may be changed. */
int store_open_beside(struct store **ret, uv_loop_t *loop, const char *state_dir,
                      const char *db_dir, size_t map_size, struct error *err);

/* Read what was committed. store_each visits a table in key order; a non-zero return of `visit`
 * stops it and is returned. Its bytes are valid in the call only; store_commit may not be called in
 * it. */
int store_each(struct store *s, enum store_table table,
               int (*visit)(void *ctx, const void *key, size_t keylen, const void *val,
                            size_t vallen),
               void *ctx);
/* Appends the value to `ret`. 0, -ENOENT or another negative errno. */
int store_get(struct store *s, enum store_table table, const void *key, size_t keylen,
              struct buf *ret);

/* Collect a change; copies. 0, -EINVAL (key or value of impossible size), -ENOBUFS, -ENOMEM. */
int store_put(struct store *s, enum store_table table, const void *key, size_t keylen,
              const void *val, size_t vallen);
int store_del(struct store *s, enum store_table table, const void *key, size_t keylen);

/* Calls cb(w, status) once: 0 when everything put so far is durable, else a negative errno.
 * `w` must stay valid until then or until store_unwait. */
void store_flush(struct store *s, struct store_wait *w,
                 void (*cb)(struct store_wait *w, int status));
/* The callback will not come any more. Harmless for a wait that is over or was zeroed. */
void store_unwait(struct store_wait *w);

/* Commits what is pending now, on this thread: start-up and sub commands. -EBUSY while a batch is
 * under way. */
int store_commit(struct store *s);

/* Commits what is pending (one try), answers all waiters, unlocks the directory, then calls
 * closed(ctx), which may be NULL. */
void store_close(struct store *s, void (*closed)(void *ctx), void *ctx);

#endif
