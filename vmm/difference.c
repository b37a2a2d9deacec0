/* SPDX-License-Identifier: Apache-2.0 */
/*
 * difference.c - collects, writes, reads and applies a difference. difference.h has the format.
 *
 * A page is part of it when the file below does not hold what the guest sees: the page map calls it
 * anonymous, or something else was mapped there before (mem_origin). So a VM that was restored from
 * a difference carries that one on, and its own is again one to the same base: no chains.
 *
 * Time and size follow the pages that were written. What the guest has given back is a run of
 * zeros, and so is what it has cleared; what the balloon holds is no longer anonymous, and is not
 * here at all.
 */
#include "difference.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "crc32c.h"
#include "disk.h"
#include "pagemap.h"
#include "pagesum.h"

#define DIFF_FIRST_ROOM 1024u

_Static_assert(sizeof(struct diff_header) == 80 && sizeof(struct diff_run) == 8, "layout");
_Static_assert(DIFF_MAX_RUNS * sizeof(struct diff_run) +
                       MEM_MAX_SIZE / MEM_PAGE / DIFF_GROUP * sizeof(uint32_t) + 2 * MEM_PAGE <=
                   DIFF_ROOM,
               "what a difference has beside pages");

static inline uint32_t diff_pages(const struct diff_run *r)
{
    return r->pages & ~DIFF_ZERO;
}

static inline bool diff_is_zero(const struct diff_run *r)
{
    return (r->pages & DIFF_ZERO) != 0;
}

static inline uint32_t diff_groups(uint64_t data_pages)
{
    return (uint32_t)((data_pages + DIFF_GROUP - 1) / DIFF_GROUP);
}

/* Where the pages begin. */
static uint64_t diff_data_offset(uint64_t runs, uint64_t sums)
{
    uint64_t end = MEM_PAGE + runs * sizeof(struct diff_run) + sums * sizeof(uint32_t);
    return (end + MEM_PAGE - 1) / MEM_PAGE * MEM_PAGE;
}

void diff_done(struct diff *d)
{
    free(d->run);
    free(d->sum);
    *d = (struct diff){0};
}

/* Collecting. */

/* What lies between two runs, and what they clear, is at most `gap` pages each. */
static bool diff_near(const struct diff_run *a, const struct diff_run *b, uint32_t gap)
{
    return b->first - (a->first + diff_pages(a)) <= gap &&
           (!diff_is_zero(a) || diff_pages(a) <= gap) && (!diff_is_zero(b) || diff_pages(b) <= gap);
}

/* Neighbours become one run, with bytes for all that is in it. */
static void diff_join(struct diff *d, uint32_t gap)
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++) {
        struct diff_run *last = n > 0 ? &d->run[n - 1] : NULL;
        const struct diff_run r = d->run[i];
        if (last != NULL && diff_near(last, &r, gap))
            last->pages = r.first + diff_pages(&r) - last->first;
        else
            d->run[n++] = r;
    }
    d->count = n;
    d->data_pages = 0;
    for (size_t i = 0; i < n; i++)
        d->data_pages += diff_is_zero(&d->run[i]) ? 0 : d->run[i].pages;
}

/* Room for one more run. Guests do not get here on their own: it takes more than a GiB, of which
 * every other page was written. Then a page too many is better than a list without an end. */
static int diff_make_room(struct diff *d)
{
    for (uint32_t gap = 1; d->count == DIFF_MAX_RUNS; gap *= 2) {
        if (gap > MEM_MAX_SIZE / MEM_PAGE)
            return -E2BIG;
        diff_join(d, gap);
    }
    if (d->count < d->room)
        return 0;
    size_t room = MAX(d->room * 2, (size_t)DIFF_FIRST_ROOM);
    struct diff_run *run = realloc(d->run, room * sizeof(*run));
    if (run == NULL)
        return -ENOMEM;
    d->run = run;
    d->room = room;
    return 0;
}

static int diff_add(struct diff *d, uint64_t page, bool zero)
{
    struct diff_run *last = d->count > 0 ? &d->run[d->count - 1] : NULL;
    d->data_pages += !zero;
    if (last != NULL && diff_is_zero(last) == zero && last->first + diff_pages(last) == page) {
        last->pages++;
        return 0;
    }
    int rv = diff_make_room(d);
    if (rv == 0)
        d->run[d->count++] = (struct diff_run){(uint32_t)page, 1 | (zero ? DIFF_ZERO : 0)};
    return rv;
}

/* What the page map says of one page. */
static int diff_consider(struct diff *d, const struct mem *m, uint64_t page, uint64_t entry)
{
    bool own = (pagemap_is_present(entry) || pagemap_is_swapped(entry)) && !pagemap_is_file(entry);
    enum mem_origin origin = mem_origin(m, page);
    if (!own && origin == MEM_FILE)
        return 0;
    /* One that was never touched after it became zeros is not touched for this, either. */
    bool zero = (!own && origin == MEM_ZEROS) || mem_page_is_zero(m->base + page * MEM_PAGE);
    return diff_add(d, page, zero);
}

int diff_collect(struct diff *d, const struct mem *m, int pagemap_fd)
{
    uint64_t entry[PAGEMAP_BATCH], pages = m->size / MEM_PAGE;
    *d = (struct diff){0};
    for (uint64_t page = 0; page < pages;) {
        ssize_t got = pagemap_read(m, pagemap_fd, page, entry);
        int rv = (int)MIN(got, (ssize_t)0);
        for (ssize_t i = 0; rv == 0 && i < got; i++, page++)
            rv = diff_consider(d, m, page, entry[i]);
        if (rv < 0)
            return rv;
    }
    return 0;
}

/* Both ways go from group to group; this says where the pages of the next one are in memory. */
struct diff_walk {
    const struct diff *d;
    uint8_t *base;
    size_t run;    /* the next one with bytes */
    uint32_t done; /* pages of it */
    uint64_t at;   /* pages of data before it */
};

/* The pieces of the next group; returns its pages. 0: there are no more. */
static uint32_t diff_next_group(struct diff_walk *w, struct iovec iov[DIFF_GROUP], size_t *ret_n)
{
    uint32_t pages = 0;
    *ret_n = 0;
    while (pages < DIFF_GROUP && w->run < w->d->count) {
        const struct diff_run *r = &w->d->run[w->run];
        uint32_t n = diff_is_zero(r) ? 0 : MIN(r->pages - w->done, DIFF_GROUP - pages);
        if (n > 0)
            iov[(*ret_n)++] = (struct iovec){w->base + ((uint64_t)r->first + w->done) * MEM_PAGE,
                                             (size_t)n * MEM_PAGE};
        pages += n;
        w->done += n;
        if (w->done == r->pages || diff_is_zero(r)) {
            w->run++;
            w->done = 0;
        }
    }
    w->at += pages;
    return pages;
}

static uint32_t diff_sum(const struct diff *d, const struct iovec *iov, size_t n)
{
    struct pagesum s;
    uint32_t crc = 0;
    pagesum_begin(&s);
    for (size_t i = 0; i < n; i++) {
        if (d->version == DIFF_VERSION_CRC)
            crc = crc32c_update(crc, iov[i].iov_base, iov[i].iov_len);
        else
            pagesum_add(&s, iov[i].iov_base, iov[i].iov_len);
    }
    return d->version == DIFF_VERSION_CRC ? crc : pagesum_end(&s);
}

/* Writing. */

/* Without pages the file ends with its table, and not at a page's boundary. */
static uint64_t diff_length(uint64_t runs, uint32_t sums, uint64_t data_pages)
{
    return data_pages > 0 ? diff_data_offset(runs, sums) + data_pages * MEM_PAGE
                          : MEM_PAGE + runs * sizeof(struct diff_run);
}

uint64_t diff_file_size(const struct diff *d, bool sums)
{
    return diff_length(d->count, sums ? diff_groups(d->data_pages) : 0, d->data_pages);
}

/* Where a file is written to. */
struct diff_out {
    int fd;
    struct diff_room room;
};

static int diff_put(const struct diff_out *out, const struct iovec *iov, size_t n, uint64_t off,
                    uint64_t len)
{
    if (out->room.at == NULL || out->room.len < len || off > out->room.len - len)
        return disk_fd_write(out->fd, iov, n, off, len);
    uint8_t *to = out->room.at + off;
    for (size_t i = 0; i < n; i++) {
        if (iov[i].iov_len > 0)
            memcpy(to, iov[i].iov_base, iov[i].iov_len);
        to += iov[i].iov_len;
    }
    return 0;
}

static int diff_write_data(struct diff *d, const struct mem *m, const struct diff_out *out,
                           uint64_t off)
{
    struct iovec iov[DIFF_GROUP];
    struct diff_walk w = {.d = d, .base = m->base};
    size_t n;
    int rv = 0;
    for (uint32_t group = 0, pages; rv == 0 && (pages = diff_next_group(&w, iov, &n)) > 0;
         group++) {
        uint64_t len = (uint64_t)pages * MEM_PAGE;
        if (d->sum != NULL)
            d->sum[group] = diff_sum(d, iov, n);
        rv = diff_put(out, iov, n, off, len);
        off += len;
    }
    return rv;
}

static uint32_t diff_table_crc(const struct diff *d)
{
    uint32_t crc = crc32c_update(0, d->run, d->count * sizeof(d->run[0]));
    size_t sums = d->sum != NULL ? diff_groups(d->data_pages) : 0;
    return sums > 0 ? crc32c_update(crc, d->sum, sums * sizeof(d->sum[0])) : crc;
}

static int diff_write_head(const struct diff *d, const struct diff_out *out,
                           const struct diff_meta *meta)
{
    uint8_t page[MEM_PAGE] = {0};
    struct diff_header h = {
        .magic = DIFF_MAGIC,
        .version = DIFF_VERSION,
        .runs = (uint32_t)d->count,
        .sums = d->sum != NULL ? diff_groups(d->data_pages) : 0,
        .table_crc = diff_table_crc(d),
        .data_pages = d->data_pages,
        .memory_size = meta->memory_size,
    };
    memcpy(h.id, meta->id, sizeof(h.id));
    memcpy(h.base, meta->base, sizeof(h.base));
    h.crc = crc32c_update(0, &h, offsetof(struct diff_header, crc));
    memcpy(page, &h, sizeof(h));
    struct iovec table[] = {{d->run, d->count * sizeof(d->run[0])},
                            {d->sum, h.sums * sizeof(d->sum[0])}};
    struct iovec head = {page, sizeof(page)};
    uint64_t len = table[0].iov_len + table[1].iov_len;
    int rv = len > 0 ? diff_put(out, table, ARRAY_SIZE(table), MEM_PAGE, len) : 0;
    return rv == 0 ? diff_put(out, &head, 1, 0, sizeof(page)) : rv;
}

int diff_write(struct diff *d, const struct mem *m, int fd, const struct diff_room *room,
               const struct diff_meta *meta, bool sums)
{
    struct diff_out out = {fd, room != NULL ? *room : (struct diff_room){0}};
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != out.room.len)
        return -EINVAL;
    uint32_t groups = diff_groups(d->data_pages);
    d->version = DIFF_VERSION;
    if (sums && groups > 0 && (d->sum = calloc(groups, sizeof(d->sum[0]))) == NULL)
        return -ENOMEM;
    uint64_t off = diff_data_offset(d->count, d->sum != NULL ? groups : 0);
    /* Room that no page ends up in is a file of another length than the header says. */
    int rv = diff_write_data(d, m, &out, off);
    return rv == 0 ? diff_write_head(d, &out, meta) : rv;
}

/* Reading. */

static int diff_fault(struct error *err, const char *what)
{
    return error_set(err, ERROR_INVALID_ARGUMENT, "the difference %s", what);
}

static int diff_check_header(const struct diff_header *h, uint64_t size,
                             const struct diff_meta *meta, struct error *err)
{
    if (memcmp(h->magic, DIFF_MAGIC, sizeof(h->magic)) != 0 ||
        h->crc != crc32c_update(0, h, offsetof(struct diff_header, crc)))
        return diff_fault(err, "is damaged or cut short");
    if (h->version != DIFF_VERSION && h->version != DIFF_VERSION_CRC)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the difference has version %u, not %u",
                         h->version, DIFF_VERSION);
    if (memcmp(h->id, meta->id, sizeof(h->id)) != 0 || h->memory_size != meta->memory_size)
        return diff_fault(err, "belongs to another snapshot");
    if (memcmp(h->base, meta->base, sizeof(h->base)) != 0)
        return diff_fault(err, "is one to another base");
    uint64_t pages = h->memory_size / MEM_PAGE;
    if (h->runs > DIFF_MAX_RUNS || h->data_pages > pages ||
        (h->sums != 0 && h->sums != diff_groups(h->data_pages)))
        return diff_fault(err, "is damaged or cut short");
    return size != diff_length(h->runs, h->sums, h->data_pages)
               ? diff_fault(err, "is damaged or cut short")
               : 0;
}

/* Each run lies in memory and behind its predecessor, and together they have as many pages as the
 * file. */
static bool diff_check_runs(const struct diff *d, uint64_t memory_pages)
{
    uint64_t next = 0, data = 0;
    for (size_t i = 0; i < d->count; i++) {
        uint64_t first = d->run[i].first, pages = diff_pages(&d->run[i]);
        if (pages == 0 || first < next || first + pages > memory_pages)
            return false;
        next = first + pages;
        data += diff_is_zero(&d->run[i]) ? 0 : pages;
    }
    return data == d->data_pages;
}

static int diff_read_table(struct diff *d, int fd, const struct diff_header *h, struct error *err)
{
    d->count = d->room = h->runs;
    d->data_pages = h->data_pages;
    d->version = h->version;
    d->run = calloc((size_t)h->runs + 1, sizeof(d->run[0]));
    d->sum = h->sums > 0 ? calloc(h->sums, sizeof(d->sum[0])) : NULL;
    if (d->run == NULL || (h->sums > 0 && d->sum == NULL))
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -ENOMEM, "the difference");
    struct iovec iov[] = {{d->run, h->runs * sizeof(d->run[0])},
                          {d->sum, h->sums * sizeof(d->sum[0])}};
    uint64_t len = iov[0].iov_len + iov[1].iov_len;
    int rv = len > 0 ? disk_fd_read(fd, iov, ARRAY_SIZE(iov), MEM_PAGE, len) : 0;
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "the difference cannot be read");
    if (diff_table_crc(d) != h->table_crc || !diff_check_runs(d, h->memory_size / MEM_PAGE))
        return diff_fault(err, "is damaged or cut short");
    return 0;
}

int diff_open(struct diff *d, int fd, const struct diff_meta *meta, struct error *err)
{
    struct diff_header h;
    struct stat st;
    struct iovec iov = {&h, sizeof(h)};
    *d = (struct diff){0};
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)MEM_PAGE)
        return diff_fault(err, "is damaged or cut short");
    int rv = disk_fd_read(fd, &iov, 1, 0, sizeof(h));
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "the difference cannot be read");
    rv = diff_check_header(&h, (uint64_t)st.st_size, meta, err);
    return rv == 0 ? diff_read_table(d, fd, &h, err) : rv;
}

/* Applying. */

/* A page that is zero in the base as well stays the base's. */
static void diff_clear(const struct mem *m, const struct diff_run *r)
{
    for (uint32_t i = 0; i < diff_pages(r); i++) {
        uint8_t *page = m->base + ((uint64_t)r->first + i) * MEM_PAGE;
        if (!mem_page_is_zero(page))
            memset(page, 0, MEM_PAGE);
    }
}

/* Anonymous memory under what is going to be overwritten: to fill a page of it, no page of the base
 * is read. Runs that are too short or too many for that cost the copy. */
static int diff_prepare(const struct diff *d, struct mem *m)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct diff_run *r = &d->run[i];
        int rv = mem_lay(m, r->first, diff_pages(r), -1, 0);
        if (rv < 0 && rv != -ENOSPC)
            return rv;
        if (rv < 0 && diff_is_zero(r))
            diff_clear(m, r);
        else if (rv == 0 && !diff_is_zero(r))
            mem_expect(m, r->first, diff_pages(r));
    }
    return 0;
}

static int diff_read_checked(const struct diff *d, const struct mem *m, int fd, struct error *err)
{
    struct iovec iov[DIFF_GROUP];
    struct diff_walk w = {.d = d, .base = m->base};
    uint64_t off = diff_data_offset(d->count, diff_groups(d->data_pages));
    size_t n;
    for (uint32_t group = 0, pages; (pages = diff_next_group(&w, iov, &n)) > 0; group++) {
        uint64_t len = (uint64_t)pages * MEM_PAGE;
        int rv = disk_fd_read(fd, iov, n, off, len);
        if (rv < 0)
            return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv,
                                   "the difference cannot be read");
        if (d->sum == NULL || diff_sum(d, iov, n) != d->sum[group])
            return diff_fault(err, "is damaged");
        off += len;
    }
    return 0;
}

/* One run: mapped, where that is worth it. */
static int diff_lay_run(const struct diff_run *r, struct mem *m, int fd, uint64_t off)
{
    struct iovec iov = {m->base + (uint64_t)r->first * MEM_PAGE, (size_t)diff_pages(r) * MEM_PAGE};
    int rv = mem_lay(m, r->first, diff_pages(r), diff_is_zero(r) ? -1 : fd, off);
    if (rv == -ENOSPC && !diff_is_zero(r))
        return disk_fd_read(fd, &iov, 1, off, iov.iov_len);
    if (rv == -ENOSPC)
        diff_clear(m, r);
    return rv == -ENOSPC ? 0 : rv;
}

static int diff_lay(const struct diff *d, struct mem *m, int fd)
{
    uint64_t off = diff_data_offset(d->count, 0);
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < d->count; i++) {
        rv = diff_lay_run(&d->run[i], m, fd, off);
        off += diff_is_zero(&d->run[i]) ? 0 : (uint64_t)d->run[i].pages * MEM_PAGE;
    }
    return rv;
}

int diff_apply(const struct diff *d, struct mem *m, int fd, bool sealed, struct error *err)
{
    bool sums = d->sum != NULL || d->data_pages == 0;
    if (!sums && !sealed)
        return diff_fault(err, "has no checksums, and is not sealed");
    int rv = sums ? diff_prepare(d, m) : diff_lay(d, m, fd);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the difference cannot be mapped");
    return sums ? diff_read_checked(d, m, fd, err) : 0;
}
