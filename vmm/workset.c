/* SPDX-License-Identifier: Apache-2.0 */
#include "workset.h"

#include <errno.h>
#include <sys/mman.h>

#include "disk.h"

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_BATCH   512u
#define COLLECT_RUNS    65536u /* before joining; more are cut off */

struct workset_run {
    uint32_t first, pages;
};

struct workset {
    struct workset_run *run; /* COLLECT_RUNS of them */
    size_t count;
};

static void workset_add(struct workset *w, uint32_t page)
{
    struct workset_run *last = w->count > 0 ? &w->run[w->count - 1] : NULL;
    if (last != NULL && last->first + last->pages == page)
        last->pages++;
    else if (w->count < COLLECT_RUNS)
        w->run[w->count++] = (struct workset_run){page, 1};
}

static int workset_collect(const struct mem *m, int pagemap_fd, struct workset *w)
{
    uint64_t entry[PAGEMAP_BATCH], pages = m->size / MEM_PAGE;
    uint64_t first = (uintptr_t)m->base / MEM_PAGE;
    for (uint64_t page = 0; page < pages;) {
        size_t want = (size_t)MIN(pages - page, (uint64_t)PAGEMAP_BATCH) * sizeof(entry[0]);
        ssize_t got = pread(pagemap_fd, entry, want, (off_t)((first + page) * sizeof(entry[0])));
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        for (size_t i = 0; i < (size_t)got / sizeof(entry[0]); i++, page++) {
            if ((entry[i] & PAGEMAP_PRESENT) != 0)
                workset_add(w, (uint32_t)page);
        }
    }
    return 0;
}

static void workset_join(struct workset *w, uint32_t gap)
{
    size_t n = 0;
    for (size_t i = 0; i < w->count; i++) {
        struct workset_run *last = n > 0 ? &w->run[n - 1] : NULL;
        const struct workset_run r = w->run[i];
        if (last != NULL && r.first - (last->first + last->pages) <= gap)
            last->pages = r.first + r.pages - last->first;
        else
            w->run[n++] = r;
    }
    w->count = n;
}

int workset_write(const struct mem *m, int pagemap_fd, int out_fd)
{
    struct workset w = {.run = NULL};
    if (!m->private_file || pagemap_fd < 0)
        return -EINVAL;
    w.run = calloc(COLLECT_RUNS, sizeof(w.run[0]));
    int rv = w.run != NULL ? workset_collect(m, pagemap_fd, &w) : -ENOMEM;
    for (uint32_t gap = 1; rv == 0 && w.count > WORKSET_MAX_RUNS; gap *= 2)
        workset_join(&w, gap);
    struct iovec iov = {w.run, w.count * sizeof(w.run[0])};
    if (rv == 0)
        rv = disk_fd_write(out_fd, &iov, 1, 0, iov.iov_len);
    free(w.run);
    return rv;
}

int workset_prefetch(const struct mem *m, int fd)
{
    struct workset_run run[WORKSET_MAX_RUNS] = {{0, 0}};
    struct iovec iov = {run, sizeof(run)};
    uint64_t pages = m->size / MEM_PAGE, next = 0, total = 0;
    int rv = disk_fd_read(fd, &iov, 1, 0, sizeof(run));
    for (size_t i = 0; rv == 0 && i < WORKSET_MAX_RUNS; i++) {
        const struct workset_run *r = &run[i];
        if (r->pages == 0 || r->first < next || (uint64_t)r->first + r->pages > pages)
            break;
        next = (uint64_t)r->first + r->pages;
        if (madvise(m->base + (uint64_t)r->first * MEM_PAGE, (uint64_t)r->pages * MEM_PAGE,
                    MADV_WILLNEED) == 0)
            total += r->pages;
    }
    return rv < 0 ? rv : (int)MIN(total, (uint64_t)INT32_MAX);
}
