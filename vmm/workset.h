/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workset.h - which pages a restored guest touches before it first answers, recorded when a
 * template is built and read ahead of time by every clone.
 *
 * The file is a list of (u32 first page, u32 pages) pairs, ascending, without overlap. Runs with
 * small gaps between them are joined until WORKSET_MAX_RUNS are left: a page too many is
 * one in the page cache, a run too many a system call. It is advice: a damaged list is ignored from
 * the damage on.
 */
#ifndef CORRAL_VMM_WORKSET_H
#define CORRAL_VMM_WORKSET_H

#include "mem.h"

#define WORKSET_MAX_RUNS 4u

/* Writes what this process has mapped of guest memory so far. */
int workset_write(const struct mem *m, int pagemap_fd, int out_fd);
/* Has the host read the recorded pages of a private memory file, without waiting; mapping them,
 * too, costs more than the faults that it saves. Returns the number of pages asked for. */
int workset_prefetch(const struct mem *m, int fd);

#endif
