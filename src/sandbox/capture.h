/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h - a sandbox becomes a snapshot, and a snapshot becomes sandboxes.
 *
 * One that runs stands still while its files are copied, and runs on; requests to it take that much
 * longer. One that is paused stays so. It has one capture at a time, and is neither paused nor
 * resumed meanwhile. Its end ends the capture.
 */
#ifndef CORRAL_SANDBOX_CAPTURE_H
#define CORRAL_SANDBOX_CAPTURE_H

#include "sandbox/table.h"
#include "snapshot/set.h"

/* A wait for a snapshot. Embedded in its owner, and taken off the list before `done` is called.
 * Cancel it with list_del: the snapshot is made all the same, and one that is passing goes. */
struct capture_wait {
    struct list node;
    /* `err` is NULL on success. A snapshot that is passing is the owner's to drop. */
    void (*done)(struct capture_wait *w, struct sandbox *sb, struct snapshot *sn,
                 const struct error *err);
};

/* What snapshots of this server keep. One that keeps memory can leave it unused. */
enum snapshot_kind sandbox_capture_kind(const struct sandbox_table *t);

/* What a snapshot is called, and why it is made: as in struct snapshot_params. */
struct capture_about {
    const char *name, *description; /* may be NULL */
    enum snapshot_source source;
    bool passing;
    bool files_only; /* SNAPSHOT_DISK, whatever the driver keeps */
};

/* Begins one of a sandbox that runs or is paused. 0, or a negative errno with `err` filled and `w`
 * is not called.
 */
int sandbox_capture(struct sandbox *sb, const struct capture_about *about, struct capture_wait *w,
                    struct error *err);

/* What a create by the account `p` says it names: a template, or a snapshot of the account. Then
 * the template is that of the snapshot, and `p` gets its sizes. NULL with `err` filled. */
const struct template *sandbox_capture_named(const struct sandbox_table *t, const char *name,
                                             struct sandbox_params *p, struct error *err);
/* The same of a snapshot that is known. */
const struct template *sandbox_capture_use(const struct sandbox_table *t, struct snapshot *sn,
                                           struct sandbox_params *p, struct error *err);
/* Whether sandboxes of `t` can start from it: 0, or a negative errno with `err` filled. */
int sandbox_capture_fits(const struct sandbox_table *t, const struct snapshot *sn,
                         const struct template *tpl, struct error *err);

/* How many sandboxes that have not ended began with it; of those, how many are not running yet. */
unsigned int sandbox_capture_children(const struct sandbox_table *t, const struct snapshot *sn,
                                      unsigned int *ret_starting);

/* Drops it, unless a sandbox that starts needs its files. 0, or a negative errno with `err`. */
int sandbox_capture_delete(const struct sandbox_table *t, struct snapshot *sn, struct error *err);

/* For sandbox.c: nothing of the instance is left. */
void sandbox_capture_lost(struct sandbox *sb);

#endif
