/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork.h - several sandboxes begin as one that runs, or is paused and stays so.
 *
 * A passing snapshot is made of it, and the children start from that, all at once. Where the driver
 * forks (ISOLATION_FORKS), the memory of one that runs goes to the others and not by the disk. Each
 * child has its own result: one that cannot start, because a limit is reached, costs the others
 * nothing.
 * What a child is not told it has as its parent: metadata, network policy, what becomes of it in
 * time, its time-out. Only variables are not known any more, and are what the fork says.
 */
#ifndef CORRAL_SANDBOX_FORK_H
#define CORRAL_SANDBOX_FORK_H

#include "sandbox/capture.h"

#define SANDBOX_FORK_MAX 100 /* children of one */

struct sandbox_fork;

struct sandbox_fork_child {
    struct sandbox_wait wait;
    struct sandbox_fork *fork;
    char id[ID_SIZE]; /* "": it never began */
    struct error err; /* of one that does not run */
};

/* Zeroed, then what is the owner's is filled in. Must stay until `done`, or the cancellation. */
struct sandbox_fork {
    /* The owner's. */
    unsigned int count;
    struct sandbox_fork_child *children; /* `count` of them, zeroed */
    const char *metadata;                /* JSON object text; NULL: the parent's */
    char *const *env;
    unsigned int timeout_s;    /* 0: the parent's */
    char snapshot_id[ID_SIZE]; /* of the snapshot that the owner has (sandbox_fork_from) */
    void (*done)(struct sandbox_fork *f, const struct error *err);
    /* When it is done: whether it went by memory; then the bytes of that, and how long the parent
     * stood still. */
    bool live;
    uint64_t bytes, pause_us;
    /* fork.c's. */
    struct sandbox_table *table;
    struct capture_wait wait;
    struct snapshot *sn; /* NULL: none, or gone */
    unsigned int left;
};

/* 0, and `done` follows: with a NULL `err` when every child has its result, or with the reason why
 * there are none. A negative errno with `err` filled: `done` does not follow. */
int sandbox_fork_begin(struct sandbox_fork *f, struct sandbox *parent, struct error *err);
/* The same from a snapshot that is kept, or that the owner drops after `done`, which may come
 * inside the call: the children are as `params` says, whose strings are copied. */
void sandbox_fork_from(struct sandbox_fork *f, struct sandbox_table *t, const struct template *tpl,
                       const struct sandbox_params *params);
/* What the children are like that have `parent` as theirs, but for what they begin with. Points
 * into both. */
void sandbox_fork_params(const struct sandbox_fork *f, const struct sandbox *parent,
                         struct sandbox_params *ret);
/* Nobody waits any more: the children end. */
void sandbox_fork_cancel(struct sandbox_fork *f);

#endif
