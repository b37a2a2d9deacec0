/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workset.c - which pages a clone will need, learned from one that has run.
 *
 * Recording reads /proc/self/pagemap of the process that ran the guest: a page that is present
 * was touched, and one that is present and no longer the file's was written. The file holds runs
 * of pages, not pages: neighbours are touched together.
 *
 * Use is in three strengths, by what a page too many costs: reading ahead (nothing), mapping
 * dense runs (a little), copying (memory for ever). All lists come from a template's directory
 * and are checked like any input: a bad one costs speed, never correctness.
 */
#include "workset.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "disk.h"
#include "pagemap.h"
#include "vmm_ctl.h"

#define COLLECT_RUNS 65536u /* before joining; more are cut off */
#define DENSE_GAP    16u    /* pages */
#define DENSE_MIN    512u   /* pages; a shorter run is not worth a system call */
#define WORKSET_HEAD (WORKSET_AHEAD + WORKSET_DENSE)

_Static_assert(WORKSET_HEAD * 2 * sizeof(uint32_t) == CTL_WORKSET_HEAD,
               "what the lists begin with");

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
    for (uint64_t page = 0; page < pages;) {
        ssize_t got = pagemap_read(m, pagemap_fd, page, entry);
        if (got < 0)
            return (int)got;
        for (ssize_t i = 0; i < got; i++, page++) {
            if (!pagemap_is_present(entry[i]))
                continue;
            workset_add(all, (uint32_t)page);
            if (!pagemap_is_file(entry[i]))
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

/* No qsort here: a C library may ask the system how much memory there is, which the filter forbids.
 *
 * A fault brings what lies around it, so one page touched looks like sixteen; runs with small gaps
 * are still worth it: what is mapped in one go costs a tenth of what faults one by one. */
static void workset_pick_dense(const struct run_list *w, struct workset_run out[WORKSET_DENSE])
{
    for (size_t i = 0; i < w->count; i++) {
        struct workset_run *least = &out[0];
        for (size_t n = 1; n < WORKSET_DENSE; n++)
            least = out[n].pages < least->pages ? &out[n] : least;
        if (w->run[i].pages >= MAX(DENSE_MIN, least->pages + 1))
            *least = (struct workset_run){w->run[i].first,
                                          MIN(w->run[i].pages, WORKSET_DENSE_PAGES)};
    }
}

/* Runs on the loop, while the guest may run: the list is a guess either way. */
int workset_write(const struct mem *m, int pagemap_fd, int out_fd)
{
    if (!m->private_file || pagemap_fd < 0)
        return -EINVAL;
    struct workset_run *run = calloc((size_t)2 * COLLECT_RUNS, sizeof(run[0]));
    if (run == NULL)
        return -ENOMEM;
    struct workset_run head[WORKSET_HEAD] = {{0, 0}};
    struct run_list all = {.run = run}, written = {.run = run + COLLECT_RUNS};
    int rv = workset_collect(m, pagemap_fd, &all, &written);
    workset_join(&all, DENSE_GAP);
    workset_pick_dense(&all, head + WORKSET_AHEAD);
    /* Wider and wider gaps until few runs are left. */
    for (uint32_t gap = DENSE_GAP; all.count > WORKSET_AHEAD; gap *= 2)
        workset_join(&all, gap);
    memcpy(head, all.run, all.count * sizeof(head[0]));
    size_t copied = MIN(written.count, (size_t)(WORKSET_RUNS - WORKSET_HEAD));
    struct iovec iov[] = {{head, sizeof(head)}, {written.run, copied * sizeof(run[0])}};
    if (rv == 0)
        rv = disk_fd_write(out_fd, iov, ARRAY_SIZE(iov), 0, iov[0].iov_len + iov[1].iov_len);
    free(run);
    return rv;
}

int workset_open(struct workset *w, const struct mem *m, int fd)
{
    *w = (struct workset){0};
    if (!m->private_file)
        return -EINVAL;
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0)
        return -errno;
    size_t count = MIN((size_t)size / sizeof(w->run[0]), (size_t)WORKSET_RUNS);
    if (count < WORKSET_HEAD)
        return 0;
    *w = (struct workset){calloc(count, sizeof(w->run[0])), count};
    if (w->run == NULL)
        return -ENOMEM;
    struct iovec iov = {w->run, count * sizeof(w->run[0])};
    int rv = disk_fd_read(fd, &iov, 1, 0, iov.iov_len);
    if (rv < 0)
        workset_done(w);
    return rv;
}

void workset_done(struct workset *w)
{
    free(w->run);
    *w = (struct workset){0};
}

/* Whether the run can be one, and does not begin before *next, its predecessor's end. */
static bool workset_take(const struct mem *m, const struct workset_run *r, uint64_t *next)
{
    uint64_t end = (uint64_t)r->first + r->pages;
    if (r->pages == 0 || r->first < *next || end > m->size / MEM_PAGE)
        return false;
    *next = end;
    return true;
}

void workset_read_ahead(const struct workset *w, const struct mem *m)
{
    uint64_t next = 0;
    for (size_t i = 0; w->run != NULL && i < WORKSET_AHEAD; i++) {
        if (!workset_take(m, &w->run[i], &next))
            return;
        (void)madvise(m->base + (uint64_t)w->run[i].first * MEM_PAGE,
                      (uint64_t)w->run[i].pages * MEM_PAGE, MADV_WILLNEED);
    }
}

uint32_t workset_copy(const struct workset *w, const struct mem *m)
{
    uint64_t next = 0;
    uint32_t copied = 0;
    for (size_t i = WORKSET_HEAD; i < w->count && workset_take(m, &w->run[i], &next); i++) {
        for (uint32_t n = 0; n < w->run[i].pages && copied < WORKSET_COPY; n++, copied++)
            mem_touch(m, (uint64_t)w->run[i].first + n);
    }
    return copied;
}

bool workset_dense(const struct workset *w, const struct mem *m, size_t i, uint64_t *ret_gpa,
                   uint64_t *ret_len)
{
    uint64_t none = 0;
    struct mem_region region[2];
    if (w->run == NULL || i >= WORKSET_DENSE)
        return false;
    const struct workset_run *r = &w->run[WORKSET_AHEAD + i];
    uint64_t off = (uint64_t)r->first * MEM_PAGE, len = (uint64_t)r->pages * MEM_PAGE;
    if (!workset_take(m, r, &none) || r->pages > WORKSET_DENSE_PAGES)
        return false;
    size_t at = mem_regions(m, region) - 1;
    if (off < region[0].len)
        at = 0;
    uint64_t within = off - (uint64_t)(region[at].host - m->base);
    *ret_gpa = region[at].gpa + within;
    *ret_len = MIN(len, region[at].len - within);
    return true;
}
