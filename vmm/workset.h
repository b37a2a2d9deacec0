/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workset.h - which pages a restored guest touches before it answers, recorded when a template is
 * built and made ready ahead of time in every clone.
 *
 * A file is a list of (u32 first page, u32 pages) pairs. The first WORKSET_AHEAD of them, unused
 * ones of no pages, cover all that was touched, joined over gaps: a page too many is one in the
 * page cache, a run too many a system call. The others, ascending, are what was written, exactly: a
 * page too many is a private copy. It is advice: each part of a damaged list is ignored from the
 * damage on.
 */
#ifndef CORRAL_VMM_WORKSET_H
#define CORRAL_VMM_WORKSET_H

#include "mem.h"

#define WORKSET_AHEAD 4u
#define WORKSET_RUNS  8192u  /* most in a file, those to be read ahead included */
#define WORKSET_COPY  16384u /* most pages that one list copies */
#define WORKSET_SLICE 64u    /* pages; some ten microseconds of work */

struct workset_run;

/* What is still to be copied. Zeroes: nothing. */
struct workset {
    struct workset_run *run; /* owned */
    size_t count, at;
    uint32_t done; /* pages of run[at] */
    uint32_t left; /* pages that may still be copied */
};

/* Writes down what this process has mapped and copied of guest memory so far. */
int workset_write(const struct mem *m, int pagemap_fd, int out_fd);

/* Reads a list for a private memory file. 0, and nothing to do for an empty list, or a negative
 * errno. */
int workset_open(struct workset *w, const struct mem *m, int fd);
/* Has the host read what was touched, without waiting. */
void workset_read_ahead(const struct workset *w, const struct mem *m);
/* Makes this process' copies of up to `pages` that were written; true when there is more to do. A
 * copy costs one fault here, but three when the guest runs into it: one to read, one to write, and
 * one because the copy takes the page out of the guest's tables. vCPUs may run meanwhile. */
bool workset_copy(struct workset *w, const struct mem *m, uint32_t pages);
void workset_done(struct workset *w);

#endif
