/* SPDX-License-Identifier: Apache-2.0 */
#include "workset.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "disk.h"

/* Documentation/admin-guide/mm/pagemap.rst of Linux. */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FILE    (1ull << 61)
#define PAGEMAP_BATCH   512u
#define COLLECT_RUNS    65536u /* before joining; more are cut off */

struct workset_run {
    uint32_t first, pages;
};

struct run_list {
    struct workset_run *run; /* COLLECT_RUNS of them */
    size_t count;
};

static void workset_add(struct run_list *w, uint32_t page)
{
    struct workset_run *last = w->count > 0 ? &w->run[w->count - 1] : NULL;
    if (last != NULL && last->first + last->pages == page)
        last->pages++;
    else if (w->count < COLLECT_RUNS)
        w->run[w->count++] = (struct workset_run){page, 1};
}

static int workset_collect(const struct mem *m, int pagemap_fd, struct run_list *all,
                           struct run_list *written)
{
    uint64_t entry[PAGEMAP_BATCH], pages = m->size / MEM_PAGE;
    uint64_t first = (uintptr_t)m->base / MEM_PAGE;
    for (uint64_t page = 0; page < pages;) {
        size_t want = (size_t)MIN(pages - page, (uint64_t)PAGEMAP_BATCH) * sizeof(entry[0]);
        ssize_t got = pread(pagemap_fd, entry, want, (off_t)((first + page) * sizeof(entry[0])));
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        for (size_t i = 0; i < (size_t)got / sizeof(entry[0]); i++, page++) {
            if ((entry[i] & PAGEMAP_PRESENT) == 0)
                continue;
            workset_add(all, (uint32_t)page);
            if ((entry[i] & PAGEMAP_FILE) == 0)
                workset_add(written, (uint32_t)page);
        }
    }
    return 0;
}

static void workset_join(struct run_list *w, uint32_t gap)
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
    if (!m->private_file || pagemap_fd < 0)
        return -EINVAL;
    struct workset_run *run = calloc((size_t)2 * COLLECT_RUNS, sizeof(run[0]));
    if (run == NULL)
        return -ENOMEM;
    struct run_list all = {.run = run}, written = {.run = run + COLLECT_RUNS};
    int rv = workset_collect(m, pagemap_fd, &all, &written);
    for (uint32_t gap = 1; rv == 0 && all.count > WORKSET_AHEAD; gap *= 2)
        workset_join(&all, gap);
    memset(all.run + all.count, 0,
           (WORKSET_AHEAD - MIN(all.count, WORKSET_AHEAD)) * sizeof(run[0]));
    size_t copied = MIN(written.count, (size_t)(WORKSET_RUNS - WORKSET_AHEAD));
    struct iovec iov[] = {{all.run, WORKSET_AHEAD * sizeof(run[0])},
                          {written.run, copied * sizeof(run[0])}};
    if (rv == 0)
        rv = disk_fd_write(out_fd, iov, ARRAY_SIZE(iov), 0, iov[0].iov_len + iov[1].iov_len);
    free(run);
    return rv;
}

int workset_open(struct workset *w, const struct mem *m, int fd)
{
    *w = (struct workset){.left = WORKSET_COPY};
    if (!m->private_file)
        return -EINVAL;
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0)
        return -errno;
    size_t count = MIN((size_t)size / sizeof(w->run[0]), (size_t)WORKSET_RUNS);
    if (count < WORKSET_AHEAD)
        return 0;
    w->run = calloc(count, sizeof(w->run[0]));
    if (w->run == NULL)
        return -ENOMEM;
    struct iovec iov = {w->run, count * sizeof(w->run[0])};
    int rv = disk_fd_read(fd, &iov, 1, 0, iov.iov_len);
    if (rv < 0)
        workset_done(w);
    else
        *w = (struct workset){w->run, count, WORKSET_AHEAD, 0, WORKSET_COPY};
    return rv;
}

void workset_done(struct workset *w)
{
    free(w->run);
    *w = (struct workset){0};
}

/* Whether run `i` can be one, and lies behind the one before it, which is `first` or later. */
static bool workset_run_ok(const struct workset *w, size_t i, size_t first, const struct mem *m)
{
    const struct workset_run *r = &w->run[i], *last = i > first ? r - 1 : NULL;
    if (r->pages == 0 || (uint64_t)r->first + r->pages > m->size / MEM_PAGE)
        return false;
    return last == NULL || (uint64_t)last->first + last->pages <= r->first;
}

void workset_read_ahead(const struct workset *w, const struct mem *m)
{
    for (size_t i = 0; w->run != NULL && i < WORKSET_AHEAD && workset_run_ok(w, i, 0, m); i++)
        (void)madvise(m->base + (uint64_t)w->run[i].first * MEM_PAGE,
                      (uint64_t)w->run[i].pages * MEM_PAGE, MADV_WILLNEED);
}

/* A write that changes nothing, whatever vCPUs do; compilers leave out those they know. */
static inline void workset_touch(uint8_t *page)
{
    __asm__ volatile("lock orb $0, %0" : "+m"(*page));
}

bool workset_copy(struct workset *w, const struct mem *m, uint32_t pages)
{
    for (pages = MIN(pages, w->left); pages > 0 && w->at < w->count; pages--) {
        const struct workset_run *r = &w->run[w->at];
        if (w->done == 0 && !workset_run_ok(w, w->at, WORKSET_AHEAD, m))
            break;
        workset_touch(m->base + ((uint64_t)r->first + w->done) * MEM_PAGE);
        w->left--;
        if (++w->done < r->pages)
            continue;
        w->done = 0;
        w->at++;
    }
    if (pages == 0 && w->left > 0 && w->at < w->count)
        return true;
    workset_done(w);
    return false;
}
