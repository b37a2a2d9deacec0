/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uids.h - which user and group ids of the host a sandbox has. The file STATE/uids says where the
 * search for the next one begins, for every process that works on that state: servers one after the
 * other, and the builder of templates beside one. So an id is used again as late as possible: a
 * file or a process that an ended sandbox has left behind unnoticed must not belong to a new one.
 */
#ifndef CORRAL_ISOLATION_UIDS_H
#define CORRAL_ISOLATION_UIDS_H

#include <stdbool.h>
#include <stdint.h>

/* MicroVMs have one id each, containers a range. Nothing else on the machine may use them. */
#define UIDS_VM_FIRST        1900000000u
#define UIDS_VM_COUNT        65536u
#define UIDS_CONTAINER_FIRST 1900085248u /* a multiple of 65536 */
#define UIDS_CONTAINER_COUNT 3072u
#define UIDS_RANGE           65536u /* ids of one container */

enum uids_kind { UIDS_VM, UIDS_CONTAINER, UIDS_KINDS };

struct uids {
    enum uids_kind kind;
    int fd;              /* STATE/uids; -1: none, ids are told apart by this process alone */
    uint32_t next;       /* where the file is not to be had */
    uint64_t used[1024]; /* a bit for each that this process knows of */
};

/* Opens and, when needed, makes the file. A failure costs only the order of use. */
void uids_open(struct uids *u, const char *state_dir, enum uids_kind kind);
void uids_close(struct uids *u);

/* The first id of an unused range, or 0 when all are in use. A few small system calls. */
uint32_t uids_take(struct uids *u);
/* One that an adopted sandbox has. Another number is ignored, here and in uids_drop. */
void uids_keep(struct uids *u, uint32_t first);
void uids_drop(struct uids *u, uint32_t first);

#endif
