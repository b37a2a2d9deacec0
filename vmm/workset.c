/* SPDX-License-Identifier: Apache-2.0 */
#include "workset.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "disk.h"

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FILE    (1ull << 61) /* a page of the file; without it, a private copy */
#define PAGEMAP_BATCH   512u

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum page_use { PAGE_UNUSED, PAGE_READ, PAGE_WRITTEN };

struct workset_run {
    uint32_t first;
    uint32_t pages; /* count << 1 | written */
};

struct workset_out {
    struct workset_run run[PAGEMAP_BATCH];
    size_t count;
    uint64_t written; /* runs in the file */
    int fd;
};

static enum page_use workset_use(uint64_t entry)
{
    if ((entry & PAGEMAP_PRESENT) == 0)
        return PAGE_UNUSED;
    return (entry & PAGEMAP_FILE) != 0 ? PAGE_READ : PAGE_WRITTEN;
}

static int workset_flush(struct workset_out *o)
{
    struct iovec iov = {o->run, o->count * sizeof(o->run[0])};
    int rv = 0;
    if (o->count > 0)
        rv = disk_fd_write(o->fd, &iov, 1, o->written * sizeof(o->run[0]), iov.iov_len);
    o->written += o->count;
    o->count = 0;
    return rv;
}

static int workset_add(struct workset_out *o, uint64_t page, enum page_use use)
{
    struct workset_run *last = o->count > 0 ? &o->run[o->count - 1] : NULL;
    uint32_t bit = use == PAGE_WRITTEN;
    if (use == PAGE_UNUSED)
        return 0;
    if (last != NULL && last->first + (last->pages >> 1) == page && (last->pages & 1) == bit) {
        last->pages += 2;
        return 0;
    }
    int rv = o->count == PAGEMAP_BATCH ? workset_flush(o) : 0;
    if (rv == 0)
        o->run[o->count++] = (struct workset_run){(uint32_t)page, 2 | bit};
    return rv;
}

int workset_write(const struct mem *m, int pagemap_fd, int out_fd)
{
    struct workset_out o = {.fd = out_fd};
    uint64_t entry[PAGEMAP_BATCH], pages = m->size / MEM_PAGE;
    uint64_t first = (uintptr_t)m->base / MEM_PAGE;
    int rv = 0;
    if (!m->private_file || pagemap_fd < 0)
        return -EINVAL;
    for (uint64_t page = 0; rv == 0 && page < pages;) {
        size_t want = (size_t)MIN(pages - page, (uint64_t)PAGEMAP_BATCH) * sizeof(entry[0]);
        ssize_t got = pread(pagemap_fd, entry, want, (off_t)((first + page) * sizeof(entry[0])));
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        for (size_t i = 0; rv == 0 && i < (size_t)got / sizeof(entry[0]); i++, page++)
            rv = workset_add(&o, page, workset_use(entry[i]));
    }
    return rv == 0 ? workset_flush(&o) : rv;
}

int workset_prefetch(const struct mem *m, int fd)
{
    struct workset_run run[PAGEMAP_BATCH];
    struct stat st;
    uint64_t pages = m->size / MEM_PAGE, next = 0, total = 0;
    if (fstat(fd, &st) < 0)
        return -errno;
    uint64_t runs = MIN((uint64_t)st.st_size / sizeof(run[0]), (uint64_t)WORKSET_MAX_RUNS);
    for (uint64_t i = 0; i < runs; i++) {
        if (i % PAGEMAP_BATCH == 0) {
            struct iovec iov = {run, sizeof(run)};
            int rv = disk_fd_read(fd, &iov, 1, i * sizeof(run[0]), sizeof(run));
            if (rv < 0)
                return rv;
        }
        const struct workset_run *r = &run[i % PAGEMAP_BATCH];
        uint64_t count = r->pages >> 1;
        if (count == 0 || r->first < next || r->first + count > pages)
            break;
        next = r->first + count;
        int advice = (r->pages & 1) != 0 ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
        if (madvise(m->base + r->first * (uint64_t)MEM_PAGE, count * MEM_PAGE, advice) == 0)
            total += count;
    }
    return (int)MIN(total, (uint64_t)INT32_MAX);
}
