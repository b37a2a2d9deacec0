/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pagemap.h - what the kernel says of each page of guest memory: /proc/self/pagemap, as in
 * Documentation/admin-guide/mm/pagemap.rst of Linux.
 */
#ifndef CORRAL_VMM_PAGEMAP_H
#define CORRAL_VMM_PAGEMAP_H

#include <sys/types.h>

#include "mem.h"

#define PAGEMAP_BATCH 512u

/* The entries of pages from `page` on, up to the end of memory: how many, or a negative errno. */
ssize_t pagemap_read(const struct mem *m, int pagemap_fd, uint64_t page,
                     uint64_t entry[PAGEMAP_BATCH]);

/* A page on its way to another place in memory looks as if it were swapped out. */
static inline bool pagemap_is_present(uint64_t entry)
{
    return (entry >> 63 & 1) != 0;
}

static inline bool pagemap_is_swapped(uint64_t entry)
{
    return (entry >> 62 & 1) != 0;
}

/* Of a page that is present or swapped out: it is the file's. Otherwise it was written. */
static inline bool pagemap_is_file(uint64_t entry)
{
    return (entry >> 61 & 1) != 0;
}

#endif
