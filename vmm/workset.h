/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workset.h - which pages a restored guest touches before it answers, recorded when a template is
 * built and made ready ahead of time in every clone.
 *
 * A file is a list of (u32 first page, u32 pages) pairs; pairs without pages are unused.
 *
 *   WORKSET_AHEAD of them   cover all that was touched, joined over gaps: a page too many is one in
 *                           the page cache, a run too many a system call
 *   WORKSET_DENSE           the longest runs of what was touched and lay close by
 *   all others, ascending   what was written, exactly: a page too many is a private copy
 *
 * It is advice: each part of a damaged list is ignored from the damage on.
 */
#ifndef CORRAL_VMM_WORKSET_H
#define CORRAL_VMM_WORKSET_H

#include "mem.h"

#define WORKSET_AHEAD       2u
#define WORKSET_DENSE       8u
#define WORKSET_RUNS        8192u  /* most in a file */
#define WORKSET_COPY        16384u /* most pages that one list copies */
#define WORKSET_DENSE_PAGES 8192u  /* most in one dense run */

struct workset_run;

struct workset {
    struct workset_run *run; /* owned; NULL: nothing to do */
    size_t count;
};

/* Lists the pages of guest memory that this process has mapped and copied so far. */
int workset_write(const struct mem *m, int pagemap_fd, int out_fd);

/* Reads a list for a private memory file. 0, and nothing to do for an empty list, or a negative
 * errno. */
int workset_open(struct workset *w, const struct mem *m, int fd);
/* Makes the host read the touched pages, without waiting. */
void workset_read_ahead(const struct workset *w, const struct mem *m);
/* Copies the written pages into this process; returns their number. A copy costs one fault
 * here, but three when the guest runs into it: one to read, one to write, and one because the copy
 * takes the page out of the guest's tables. vCPUs may run meanwhile, but then fault again. */
uint32_t workset_copy(const struct workset *w, const struct mem *m);
/* The guest addresses of dense run `i` of WORKSET_DENSE; false when there is none. */
bool workset_dense(const struct workset *w, const struct mem *m, size_t i, uint64_t *ret_gpa,
                   uint64_t *ret_len);
void workset_done(struct workset *w);

#endif
