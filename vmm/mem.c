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

/* Every piece may become a mapping of its own, with one more beside it; the host kernel allows
 * about 65,000. What is laid leaves room for what the guest gives back later: it may be all of
 * 3 GiB in the blocks of the guest's kernel (options.c), one by one. */
#define MEM_PIECE_PAGES 16u
#define MEM_PIECES_MAX  24576u
#define MEM_LAID_MAX    4096u
#define MEM_HUGE        (2ull << 20)

static bool mem_size_ok(uint64_t size)
{
    return size >= MEM_MIN_SIZE && size <= MEM_MAX_SIZE && size % MEM_PAGE == 0;
}

/* Aligned, so that pages of the guest and of the host fall together and may be huge. What is around
 * it stays reserved: giving it back costs two system calls and saves nothing. */
static int mem_reserve(struct mem *m, uint64_t size)
{
    size_t len = size + MEM_HUGE;
    uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    size_t head = (MEM_HUGE - (uintptr_t)p % MEM_HUGE) % MEM_HUGE;
    *m = (struct mem){.base = p + head, .size = size, .fd = -1, .reserved = p, .reserved_len = len};
    return 0;
}

/* A booting guest touches most of what it gets, and each page saved is an exit saved. */
int mem_init_new(struct mem *m, uint64_t size)
{
    if (!mem_size_ok(size))
        return -EINVAL;
    int rv = mem_reserve(m, size);
    if (rv < 0)
        return rv;
    (void)madvise(m->base, size, MADV_HUGEPAGE);
    (void)madvise(m->base, size, MADV_DONTDUMP);
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
    int rv = mem_reserve(m, size);
    if (rv < 0)
        return rv;
    if (mmap(m->base, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd,
             0) == MAP_FAILED) {
        rv = -errno;
        mem_done(m);
        return rv;
    }
    m->fd = fd;
    m->private_file = true;
    return 0;
}

void mem_done(struct mem *m)
{
    if (m->base == NULL)
        return;
    (void)munmap(m->reserved, m->reserved_len);
    if (m->fd >= 0)
        (void)close(m->fd);
    free(m->zeros);
    free(m->laid);
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

/* What was replaced. */

static bool mem_bit(const uint64_t *map, uint64_t page)
{
    return map != NULL && (map[page / MEM_WORD] >> page % MEM_WORD & 1) != 0;
}

uint64_t *mem_map_new(const struct mem *m)
{
    return calloc(m->size / MEM_PAGE / MEM_WORD + 1, sizeof(uint64_t));
}

void mem_map_mark(uint64_t *map, uint64_t page, uint64_t pages, bool on)
{
    for (uint64_t i = page; map != NULL && i < page + pages; i++) {
        uint64_t bit = 1ull << i % MEM_WORD;
        map[i / MEM_WORD] = on ? map[i / MEM_WORD] | bit : map[i / MEM_WORD] & ~bit;
    }
}

static bool mem_all_zeros(const struct mem *m, uint64_t page, uint64_t pages)
{
    uint64_t i = page;
    while (i < page + pages && mem_bit(m->zeros, i))
        i++;
    return i == page + pages;
}

enum mem_origin mem_origin(const struct mem *m, uint64_t page)
{
    if (mem_bit(m->laid, page))
        return MEM_LAID;
    return mem_bit(m->zeros, page) ? MEM_ZEROS : MEM_FILE;
}

/* Most pages that are not zero say so at once. With eight words a step the compiler makes vector
 * instructions of it. */
bool mem_page_is_zero(const void *page)
{
    const uint64_t *w = page;
    for (size_t i = 0; i < MEM_PAGE / sizeof(*w); i += 8) {
        if ((w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7]) !=
            0)
            return false;
    }
    return true;
}

/* Compilers leave out the writes they know to change nothing. */
void mem_touch(const struct mem *m, uint64_t page)
{
    __asm__ volatile("lock orb $0, %0" : "+m"(m->base[page * MEM_PAGE]));
}

/* Another mapping for some pages: of `fd`, or, for -1, of nothing. */
static int mem_replace(struct mem *m, uint64_t page, uint64_t pages, int fd, uint64_t off,
                       uint32_t max_pieces)
{
    uint64_t **map = fd >= 0 ? &m->laid : &m->zeros;
    int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE | (fd >= 0 ? 0 : MAP_ANONYMOUS);
    if (pages < MEM_PIECE_PAGES || m->pieces >= max_pieces)
        return -ENOSPC;
    if (*map == NULL)
        *map = mem_map_new(m);
    if (*map == NULL)
        return -ENOMEM;
    void *p = mmap(m->base + page * MEM_PAGE, pages * MEM_PAGE, PROT_READ | PROT_WRITE, flags, fd,
                   (off_t)off);
    if (p == MAP_FAILED)
        return -errno;
    m->pieces++;
    mem_map_mark(m->laid, page, pages, fd >= 0);
    mem_map_mark(m->zeros, page, pages, fd < 0);
    return 0;
}

int mem_lay(struct mem *m, uint64_t page, uint64_t pages, int fd, uint64_t off)
{
    if (!m->private_file || page > m->size / MEM_PAGE || pages > m->size / MEM_PAGE - page)
        return -EINVAL;
    return mem_replace(m, page, pages, fd, off, MEM_LAID_MAX);
}

void mem_expect(const struct mem *m, uint64_t page, uint64_t pages)
{
    if (pages >= MEM_HUGE / MEM_PAGE)
        (void)madvise(m->base + page * MEM_PAGE, pages * MEM_PAGE, MADV_HUGEPAGE);
}

int mem_zap(struct mem *m, void *host, uint64_t len)
{
    uint64_t start, n;
    if (!m->private_file)
        return mem_drop(m, host, len);
    if (!mem_whole_pages(m, host, len, &start, &n))
        return 0;
    if (mem_all_zeros(m, start / MEM_PAGE, n / MEM_PAGE))
        return mem_drop(m, host, len);
    /* Dropping a private page would bring the file's old bytes back; the guest was promised
     * zeros, so anonymous memory takes the place of the file. */
    return mem_replace(m, start / MEM_PAGE, n / MEM_PAGE, -1, 0, MEM_PIECES_MAX);
}

int mem_drop(struct mem *m, void *host, uint64_t len)
{
    uint64_t start, n;
    if (!mem_whole_pages(m, host, len, &start, &n))
        return 0;
    return madvise(m->base + start, n, MADV_DONTNEED) < 0 ? -errno : 0;
}
