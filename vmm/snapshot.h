/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - a paused VM into two files, and the two files into a VM that has not run. The second
 * one, memory, is complete or a difference to an earlier one that is.
 *
 * The overlay of the disk, which the caller copies while the VM is paused, gets the snapshot's id.
 * state.h has their framing; each part of the machine writes and reads its own section.
 */
#ifndef CORRAL_VMM_SNAPSHOT_H
#define CORRAL_VMM_SNAPSHOT_H

#include "difference.h"
#include "state.h"
#include "vm.h"

struct snapshot_files {
    int state_fd, memory_fd;
    int base_fd; /* the complete memory file, when memory_fd is a difference; else -1 */
    bool handed; /* state and memory are a fork's: sealed, and gone when it ends */
};

/* A state file that has been read and found to fit its memory file and the disk. */
struct snapshot {
    struct buf file; /* owned */
    struct state_meta meta;
    struct diff diff;       /* owned; when meta.difference */
    struct cursor sections; /* in `file`; those not loaded yet */
};

enum snapshot_kind {
    SNAPSHOT_COMPLETE,
    SNAPSHOT_DIFFERENCE, /* against the VM's base, where it has one */
    SNAPSHOT_FORK,       /* the same, in memory: nothing waits for the disk */
};

struct snapshot_saved {
    uint64_t bytes;  /* of guest memory, written */
    uint64_t length; /* of the memory file; what is behind it is room that was not needed */
    bool difference;
};

/* Of a VM that runs: makes room in an empty memfd for the pages that a fork would write to it now,
 * and maps it as vm->room: most of the work of writing them (snapshot.c). The fork needs no such
 * room, it only takes longer. */
void snapshot_make_room(struct vm *vm, int memory_fd);
/* Unmaps it, if there is one. Until then the file cannot be sealed. */
void snapshot_drop_room(struct vm *vm);

/* The VM is paused; both files are regular, have no bytes but vm->room, and stay the caller's. */
int snapshot_save(struct vm *vm, enum snapshot_kind kind, int state_fd, int memory_fd,
                  struct snapshot_saved *ret, struct error *err);

/* The files stay the caller's. */
int snapshot_open(struct snapshot *s, const struct snapshot_files *f, const struct disk *disk,
                  struct error *err);
/* Makes the memory of a VM that has none. Takes ownership of base_fd, for a difference, or else of
 * memory_fd, on success. */
int snapshot_map(const struct snapshot *s, struct vm *vm, const struct snapshot_files *f,
                 struct error *err);
/* Into a VM with as many vCPUs and that memory: state, then what makes it another
 * machine than its origin. */
int snapshot_load(struct snapshot *s, struct vm *vm, struct error *err);
void snapshot_close_p(struct snapshot *s);
#define cleanup_snapshot __attribute__((cleanup(snapshot_close_p)))

#endif
