/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.c - guest memory as one private mapping.
 *
 * Fresh memory is anonymous. A clone maps the snapshot's memory file privately: its clean pages
 * are the page cache, shared with all clones, and a page becomes its own when it is written. That
 * is why a restore copies nothing, and why the file must never change.
 *
 * MAP_NORESERVE, because a host runs more guests than its memory would hold if all used all of
 * theirs; the cgroup is the limit. MAP_POPULATE is out of the question: on a writable private
 * mapping it copies every page.
 */
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MEM_ZAP_MIN (64u << 10)
#define MEM_ZAP_MAX 8192u
#define MEM_HUGE    (2ull << 20)

static bool mem_size_ok(uint64_t size)
{
    return size >= MEM_MIN_SIZE && size <= MEM_MAX_SIZE && size % MEM_PAGE == 0;
}

/* Anonymous and aligned, so that the host may use huge pages: a booting guest touches most of what
 * it gets, and each page saved is an exit saved. */
int mem_init_new(struct mem *m, uint64_t size)
{
    if (!mem_size_ok(size))
        return -EINVAL;
    uint8_t *p = mmap(NULL, size + MEM_HUGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    size_t head = (MEM_HUGE - (uintptr_t)p % MEM_HUGE) % MEM_HUGE;
    if (head > 0)
        (void)munmap(p, head);
    (void)munmap(p + head + size, MEM_HUGE - head);
    p += head;
    (void)madvise(p, size, MADV_HUGEPAGE);
    (void)madvise(p, size, MADV_DONTDUMP);
    *m = (struct mem){.base = p, .size = size, .fd = -1};
    return 0;
}

int mem_init_file(struct mem *m, int fd, uint64_t size)
{
    struct stat st;
    if (!mem_size_ok(size))
        return -EINVAL;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < size)
        return -EINVAL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    *m = (struct mem){.base = p, .size = size, .fd = fd, .private_file = true};
    return 0;
}

void mem_done(struct mem *m)
{
    if (m->base == NULL)
        return;
    (void)munmap(m->base, m->size);
    if (m->fd >= 0)
        (void)close(m->fd);
    *m = (struct mem){.fd = -1};
}

size_t mem_regions(const struct mem *m, struct mem_region out[2])
{
    uint64_t low = MIN(m->size, MEM_HOLE_START);
    out[0] = (struct mem_region){.gpa = 0, .len = low, .host = m->base};
    if (m->size == low)
        return 1;
    out[1] = (struct mem_region){.gpa = MEM_HOLE_END, .len = m->size - low, .host = m->base + low};
    return 2;
}

/* Written so that no sum can overflow, for any size. No range may span the hole: it is one piece in
 * the mapping and two in the guest. */
/*@ requires size > 0 ==> \valid(base + (0 .. size - 1));
  @ assigns \nothing;
  @ ensures inside: \result != \null ==> len > 0 && \valid(\result + (0 .. len - 1));
  @ ensures whole: \result != \null ==>
  @     \exists integer at; 0 <= at && at + len <= size && \result == base + at;
  @ ensures place: \result != \null ==>
  @     \result == base + gpa || (gpa >= MEM_HOLE_END && \result == base + (gpa - 0x40000000));
  @*/
static uint8_t *mem_find(uint8_t *base, uint64_t size, uint64_t gpa, uint64_t len)
{
    uint64_t low = MIN(size, MEM_HOLE_START);
    if (len == 0)
        return NULL;
    if (gpa <= low && len <= low - gpa)
        return base + gpa;
    uint64_t high = size - low;
    if (gpa >= MEM_HOLE_END && gpa - MEM_HOLE_END <= high && len <= high - (gpa - MEM_HOLE_END))
        return base + (low + (gpa - MEM_HOLE_END));
    return NULL;
}

void *mem_at(const struct mem *m, uint64_t gpa, uint64_t len)
{
    return mem_find(m->base, m->size, gpa, len);
}

static bool mem_whole_pages(const struct mem *m, const void *host, uint64_t len,
                            uint64_t *ret_start, uint64_t *ret_len)
{
    uint64_t off = (uint64_t)((const uint8_t *)host - m->base);
    uint64_t start = (off + MEM_PAGE - 1) & ~(uint64_t)(MEM_PAGE - 1);
    uint64_t end = (off + len) & ~(uint64_t)(MEM_PAGE - 1);
    *ret_start = start;
    *ret_len = end - start;
    return start < end;
}

int mem_zap(struct mem *m, void *host, uint64_t len)
{
    uint64_t start, n;
    if (!m->private_file)
        return mem_drop(m, host, len);
    if (!mem_whole_pages(m, host, len, &start, &n))
        return 0;
    /* Every piece may become a mapping of its own; the host kernel allows about 65,000. */
    if (n < MEM_ZAP_MIN || m->zapped == MEM_ZAP_MAX)
        return -ENOSPC;
    /* Dropping a private page would bring the file's old bytes back; the guest was promised
     * zeros, so anonymous memory takes the place of the file. */
    void *p = mmap(m->base + start, n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    m->zapped++;
    return 0;
}

int mem_drop(struct mem *m, void *host, uint64_t len)
{
    uint64_t start, n;
    if (!mem_whole_pages(m, host, len, &start, &n))
        return 0;
    return madvise(m->base + start, n, MADV_DONTNEED) < 0 ? -errno : 0;
}
