/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - shared by the files of this folder only. */
#ifndef CORRAL_SNAPSHOT_INTERNAL_H
#define CORRAL_SNAPSHOT_INTERNAL_H

#include "snapshot/set.h"

struct snapshots {
    uv_loop_t *loop;
    struct store *store;
    char *dir; /* owned: STATE/snapshots */
    unsigned int limit;
    struct list all;
    /* Tasks on the pool, one after the other: each uses all that the disk has, and commits of the
     * store share the pool's threads. */
    struct list queue;
    uv_work_t work;
    struct snapshot *working; /* NULL: none */
};

/* --- record.c --- */

void snapshot_encode(struct buf *out, const struct snapshot *sn);
/* 0 or -EPROTO. Of a failure only the strings have to be freed. */
int snapshot_decode(struct snapshot *sn, const void *key, size_t keylen, const void *val,
                    size_t vallen);
/* Frees the strings that a record has. */
void snapshot_free_strings(struct snapshot *sn);

/* --- work.c --- */

/* Puts the snapshot's task in line; snapshot_worked follows. */
void snapshot_queue(struct snapshot *sn, enum snapshot_task task);
/* Removes what is in the directory and not `known`. Blocking. */
void snapshots_sweep(const struct snapshots *s,
                     bool (*known)(const struct snapshots *s, const char *name));

/* --- set.c --- */

/* The task is over with sn->status; `dir` is what it left. */
void snapshot_worked(struct snapshot *sn, enum snapshot_task task);

#endif
