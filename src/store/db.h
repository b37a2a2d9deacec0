/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.h - the LMDB environment under the store: open, read, apply a batch of changes. The tree's
 * only user of LMDB.
 *
 * What LMDB asks of its users, and how it is kept here:
 * - One environment per file and process; a second open and close would drop the first one's fcntl
 *   locks. store.c makes it one environment. state_lock() makes it one server; sub commands beside
 *   it are other processes with environments of their own, which LMDB is made for.
 * - Not across fork(): children of the server exec at once and the files are close-on-exec.
 * - A write transaction belongs to one thread: db_commit begins and ends it in one call.
 * - Read transactions pin old pages and make the file grow while they live: they live for one
 *   call. MDB_NOTLS ties them to the call instead of the thread.
 * - The map must not be resized while a transaction of this process is active, which LMDB does not
 *   check: db_grow is called where the reads are made (the loop thread) and between commits.
 * - A killed reader leaves its slot taken: slots of dead processes are cleared at open.
 * - Local file systems only (mmap and fcntl locks).
 * - No MDB_NOSYNC, MDB_MAPASYNC or MDB_NOMETASYNC: a commit returns after the disk has it.
 * - After a failed write of its own meta page LMDB refuses everything (MDB_PANIC) until it is
 *   opened anew; commits then keep failing with -EIO, loudly, and a restart recovers.
 */
#ifndef CORRAL_STORE_DB_H
#define CORRAL_STORE_DB_H

#include "base/buf.h"
#include "base/error.h"
#include "store/keys.h"

struct db;

/* Opens or creates the database in the directory `path`, checks its schema. */
int db_open(struct db **ret, const char *path, size_t map_size, struct error *err);
void db_close(struct db *db); /* NULL is fine */

int db_get(struct db *db, enum store_table table, const void *key, size_t keylen, struct buf *ret);
int db_each(struct db *db, enum store_table table,
            int (*visit)(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen),
            void *ctx);

/* Appends one change to a batch: all of it, or nothing and -ENOMEM. `val` NULL deletes. */
int db_batch_add(struct buf *batch, enum store_table table, const void *key, size_t keylen,
                 const void *val, size_t vallen);
/* Applies a batch in one transaction. Thread-safe against reads. -EXFULL: the map is full, call
 * db_grow and commit again. */
int db_commit(struct db *db, const struct buf *batch);
/* Doubles the map. No other call may be under way. */
int db_grow(struct db *db);
size_t db_map_size(const struct db *db);

#endif
