/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A difference: as it is, and as a file whose checksums are right whatever its runs say. Nothing
 * outside of the guest's memory is touched (pages on either side of it forbid that), and what is
 * accepted is a list of runs that ascend within it.
 *
 *   byte 0, bits 0-5: runs; bit 6: without sums, and sealed; bit 7: more pages than the runs have
 *   four bytes for each run: u16 first page, u16 pages, of which the highest bit is DIFF_ZERO
 *   the rest: a byte that each page is made of
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "crc32c.h"
#include "difference.h"
#include "pagesum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_RUNS 64u
#define MAX_DATA 48u /* pages */
#define PAGES    (MEM_MIN_SIZE / MEM_PAGE)

static const struct diff_meta meta = {
    .id = "0123456789abcde", .base = "fedcba987654321", .memory_size = MEM_MIN_SIZE};
static int base = -1;
static uint8_t *room;

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* A view of the base between two pages that cannot be touched. */
static void make_memory(struct mem *m)
{
    if (base < 0) {
        base = memfd_create("base", MFD_CLOEXEC);
        require(base >= 0 && ftruncate(base, MEM_MIN_SIZE) == 0);
        room = mmap(NULL, MEM_MIN_SIZE + 2 * MEM_PAGE, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        require(room != MAP_FAILED);
    }
    require(mem_init_file(m, fcntl(base, F_DUPFD_CLOEXEC, 3), MEM_MIN_SIZE) == 0);
    require(mremap(m->base, m->size, m->size, MREMAP_MAYMOVE | MREMAP_FIXED, room + MEM_PAGE) !=
            MAP_FAILED);
    m->base = room + MEM_PAGE;
}

static void load(int fd, bool sealed)
{
    struct diff d;
    struct mem m;
    if (diff_open(&d, fd, &meta, NULL) == 0) {
        uint64_t next = 0;
        for (size_t i = 0; i < d.count; i++) {
            uint64_t pages = d.run[i].pages & ~DIFF_ZERO;
            require(pages > 0 && d.run[i].first >= next && d.run[i].first + pages <= PAGES);
            next = d.run[i].first + pages;
        }
        make_memory(&m);
        (void)diff_apply(&d, &m, fd, sealed, NULL);
        mem_done(&m);
        /* The room keeps its place. */
        require(mmap(room, MEM_MIN_SIZE + 2 * MEM_PAGE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == room);
    }
    diff_done(&d);
}

static size_t fill_table(const uint8_t *data, size_t runs, struct diff_run *run, uint64_t *ret_data)
{
    *ret_data = 0;
    for (size_t i = 0; i < runs; i++) {
        uint16_t first, pages;
        memcpy(&first, data + i * 4, sizeof(first));
        memcpy(&pages, data + i * 4 + 2, sizeof(pages));
        bool zero = (pages & 0x8000) != 0;
        run[i] = (struct diff_run){first, (pages & 0x7fffu) | (zero ? DIFF_ZERO : 0)};
        *ret_data += zero ? 0 : pages;
    }
    return runs * sizeof(*run);
}

static void put(int fd, const void *p, size_t len, uint64_t off)
{
    require(pwrite(fd, p, len, (off_t)off) == (ssize_t)len);
}

/* The file that would have been written with these runs, however wrong they are. */
static void make(int fd, const uint8_t *data, size_t size)
{
    struct diff_run run[MAX_RUNS];
    static uint8_t page[MAX_DATA * MEM_PAGE];
    uint32_t sum[MAX_DATA / DIFF_GROUP + 1];
    bool sums = (data[0] & 0x40) == 0;
    uint32_t version = size % 8 == 1 ? DIFF_VERSION_CRC : DIFF_VERSION;
    size_t runs = MIN((size_t)data[0] & 0x3f, (size - 1) / 4);
    uint64_t pages;
    size_t len = fill_table(data + 1, runs, run, &pages);
    const uint8_t *rest = data + 1 + runs * 4;
    size_t n = size - 1 - runs * 4;
    pages = MIN(pages + (data[0] >> 7), (uint64_t)MAX_DATA);
    for (size_t i = 0; i < pages; i++)
        memset(page + i * MEM_PAGE, n > 0 ? rest[i % n] : 0, MEM_PAGE);
    size_t sums_len = sums && pages > 0 ? sizeof(uint32_t) : 0;
    struct pagesum s;
    pagesum_begin(&s);
    pagesum_add(&s, page, pages * MEM_PAGE);
    sum[0] = version == DIFF_VERSION ? pagesum_end(&s) : crc32c_update(0, page, pages * MEM_PAGE);
    struct diff_header h = {.magic = DIFF_MAGIC,
                            .version = version,
                            .runs = (uint32_t)runs,
                            .sums = (uint32_t)(sums_len / sizeof(uint32_t)),
                            .data_pages = pages,
                            .memory_size = MEM_MIN_SIZE};
    memcpy(h.id, meta.id, sizeof(h.id));
    memcpy(h.base, meta.base, sizeof(h.base));
    h.table_crc = crc32c_update(crc32c_update(0, run, len), sum, sums_len);
    h.crc = crc32c_update(0, &h, offsetof(struct diff_header, crc));
    require(ftruncate(fd, MEM_PAGE) == 0);
    put(fd, &h, sizeof(h), 0);
    put(fd, run, len, MEM_PAGE);
    put(fd, sum, sums_len, MEM_PAGE + len);
    put(fd, page, pages * MEM_PAGE, 2 * MEM_PAGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("difference", MFD_CLOEXEC);
    require(fd >= 0);
    put(fd, data, size, 0);
    load(fd, false);
    close(fd);
    if (size == 0)
        return 0;
    fd = memfd_create("difference", MFD_CLOEXEC);
    require(fd >= 0);
    make(fd, data, size);
    load(fd, (data[0] & 0x40) != 0);
    close(fd);
    return 0;
}
