/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set.h - the snapshots of the server: what sandboxes were at a moment, kept to make others of.
 *
 * A snapshot is a directory, STATE/snapshots/<id>, and a record. It is made in <id>.new:
 *
 *   snapshot_begin    the name is taken, and one of the account's share
 *   the owner has a driver make snapshot->dir (instance_snapshot)
 *   snapshot_keep     the files are on disk, the directory has its name, the record is on disk
 *
 * or, at any step, snapshot_drop. One that is only needed for a moment is never kept: its owner
 * begins it with `passing` and drops it. What a crash leaves behind has no record, and the next
 * server removes it at its start.
 *
 * One that is shared is a template: it is no account's, and has a name. It is made of another one,
 * by snapshot_share, with hard links to the files: neither needs the other.
 *
 * A snapshot does not need the sandbox that it was made of, nor do sandboxes need it once they run:
 * they have a copy, or the files mapped. Only while one starts its files have to stay.
 *
 * Loop thread only. No callback comes from inside a call.
 */
#ifndef CORRAL_SNAPSHOT_SET_H
#define CORRAL_SNAPSHOT_SET_H

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "base/list.h"
#include "core/id.h"
#include "isolation/memory.h"
#include "store/store.h"

#define SNAPSHOT_NAME_MAX   128  /* bytes */
#define SNAPSHOT_TEXT_MAX   1024 /* of a description */
#define SNAPSHOT_SHARED_MAX 256  /* of a server */

/* Stored in records: only append. */
enum snapshot_kind {
    /* Sandboxes begin with its files; no process of it is there. That of a microVM has its memory
     * all the same, where the newest of its files are, and what runs in it ends before anybody gets
     * in. */
    SNAPSHOT_DISK,
    SNAPSHOT_MEMORY, /* and with its processes */
    SNAPSHOT_KIND_COUNT
};

/* Why it was made. Stored in records: only append. */
enum snapshot_source {
    SNAPSHOT_OF_REQUEST, /* somebody asked for it */
    SNAPSHOT_OF_FORK,    /* a fork has left it */
    SNAPSHOT_SOURCE_COUNT
};

enum snapshot_state {
    SNAPSHOT_MAKING, /* `dir` is there, or will be */
    SNAPSHOT_KEPT,
    SNAPSHOT_GOING, /* nobody finds it any more */
};

enum snapshot_task {
    SNAPSHOT_TASK_NONE,
    SNAPSHOT_TASK_KEEP,
    SNAPSHOT_TASK_LINK, /* to the files of another one, and KEEP */
    SNAPSHOT_TASK_REMOVE
};

/* What it is of. Strings are copied. */
struct snapshot_params {
    const char *account;
    const char *name;        /* NULL: it has none */
    const char *description; /* NULL: "" */
    enum snapshot_source source;
    const char *provider, *region; /* of the sandbox */
    const char *sandbox_id;
    const char *template_id, *template_name;
    int64_t template_ms; /* updated_ms of that template when the sandbox started from it */
    const char *driver;
    enum snapshot_kind kind;
    unsigned int vcpus, memory_mb, disk_mb;
    bool passing; /* never kept, and no part of anybody's share */
    bool live;    /* and not all of it is in its directory */
};

struct snapshots;

struct snapshot {
    /* Stored. */
    char id[ID_SIZE];
    char sandbox_id[ID_SIZE], template_id[ID_SIZE];
    char *account, *name, *template_name, *driver; /* owned; only `name` may be NULL */
    char *description, *provider, *region;         /* owned */
    int64_t template_ms, created_ms;               /* wall clock */
    int64_t updated_ms, used_ms;                   /* 0: no sandbox has begun with it */
    enum snapshot_source source;
    char origin_id[ID_SIZE]; /* of the snapshot that a shared one was made of, or "" */
    bool shared;
    bool inactive; /* no sandbox begins with it until it is active again */
    enum snapshot_kind kind;
    unsigned int vcpus, memory_mb, disk_mb;
    uint64_t bytes; /* on the host's disk; blocks that are shared with others count */

    /* Only while the server runs. */
    enum snapshot_state state;
    bool passing;
    struct instance_memory *memory; /* a reference, until it is dropped; NULL: all is in `dir` */
    char *dir;                      /* owned; absolute. Of one that is made: <id>.new */
    char *link_dir;                 /* owned: SNAPSHOT_TASK_LINK's */
    struct snapshots *set;
    struct list node; /* newest first */
    /* Of set.c and work.c. */
    struct list queued;
    enum snapshot_task task;
    int status;
    struct store_wait wait;
    void (*kept)(void *ctx, struct snapshot *sn, const struct error *err);
    void *ctx;
};

const char *snapshot_kind_str(enum snapshot_kind kind);

/* `limit` is of one account. `state_dir` is absolute. NULL: out of memory. */
struct snapshots *snapshots_new(uv_loop_t *loop, struct store *store, const char *state_dir,
                                unsigned int limit);
/* Reads the records and removes what none of them names. Blocking; start-up only. */
int snapshots_load(struct snapshots *s, struct error *err);

/* NULL with `err` filled: the name is taken or no name, the account has its share. The kept ones
 * and those that are being made count. */
struct snapshot *snapshot_begin(struct snapshots *s, const struct snapshot_params *p,
                                struct error *err);
/* Its directory is made. `kept` follows once, with the snapshot and a NULL `err`, or with a NULL
 * snapshot when it could not be kept and is gone. */
void snapshot_keep(struct snapshot *sn,
                   void (*kept)(void *ctx, struct snapshot *sn, const struct error *err),
                   void *ctx);
/* Makes a template of a kept one. `kept` as for snapshot_keep; `sn` may go meanwhile, and then
 * there may be none. NULL with `err` filled: the name is taken or no name, or there are
 * SNAPSHOT_SHARED_MAX.
 */
struct snapshot *
snapshot_share(const struct snapshot *sn, const char *name, const char *description,
               void (*kept)(void *ctx, struct snapshot *sn, const struct error *err), void *ctx,
               struct error *err);
/* In every state: nobody finds it any more; its record, and then its directory, go. A `kept` that
 * is owed does not come. The pointer must not be used any more. */
void snapshot_drop(struct snapshot *sn);

/* Changes what is stored of a kept one: whether sandboxes may begin with it, and that one has. 0,
 * or a negative errno and nothing is changed. */
int snapshot_set_active(struct snapshot *sn, bool active);
int snapshot_used(struct snapshot *sn);

/* By id or name; those that are kept. `account` NULL: the shared ones. NULL: there is none. */
struct snapshot *snapshots_find(const struct snapshots *s, const char *account,
                                const char *name_or_id);
/* Calls `visit` for the kept ones of the account, or with NULL the shared ones, newest first. */
void snapshots_each(const struct snapshots *s, const char *account,
                    void (*visit)(void *ctx, struct snapshot *sn), void *ctx);

#endif
