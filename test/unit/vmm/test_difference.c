/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "crc32c.h"
#include "difference.h"
#include "pagesum.h"
#include "t.h"

#define SIZE  (64ull << 20)
#define PAGES (SIZE / MEM_PAGE)

static const struct diff_meta meta = {
    .id = "0123456789abcde",
    .base = "fedcba987654321",
    .memory_size = SIZE,
};
static int pagemap, base; /* of all cases: nothing writes to it */

static int empty_file(void)
{
    int fd = memfd_create("difference", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    T_TRUE(fd >= 0);
    return fd;
}

/* Every eighth page of the base has bytes. */
static int make_base(void)
{
    int fd = memfd_create("base", MFD_CLOEXEC);
    uint8_t page[MEM_PAGE];
    T_EQ(ftruncate(fd, (off_t)SIZE), 0);
    for (uint64_t i = 0; i < PAGES; i += 8) {
        memset(page, (int)(i / 8 % 251) + 1, sizeof(page));
        T_EQ(pwrite(fd, page, sizeof(page), (off_t)(i * MEM_PAGE)), MEM_PAGE);
    }
    return fd;
}

static void open_clone(struct mem *m)
{
    T_EQ(mem_init_file(m, dup(base), SIZE), 0);
}

static void fill(struct mem *m, uint64_t page, uint64_t pages, unsigned int seed)
{
    for (uint64_t i = 0; i < pages * MEM_PAGE; i += 64)
        m->base[page * MEM_PAGE + i] = (uint8_t)(seed + i / 64 * 7 + 1);
}

/* All that a guest can do to its memory. */
static void live(struct mem *m)
{
    for (uint64_t i = 3; i < 2000; i += 37)
        fill(m, i, 1 + i % 3, (unsigned int)i);
    fill(m, 4000, 700, 5);
    T_EQ(mem_zap(m, m->base + 4100 * MEM_PAGE, 100 * MEM_PAGE), 0); /* given back, */
    fill(m, 4150, 2, 9);                                            /* and taken again in part */
    T_EQ(mem_zap(m, m->base + 6000 * MEM_PAGE, 512 * MEM_PAGE), 0);
    memset(m->base + 8000 * MEM_PAGE, 0, MEM_PAGE); /* of the base, and cleared */
    memset(m->base + 8001 * MEM_PAGE, 0, MEM_PAGE); /* zero in the base as well */
    memset(m->base + 9000 * MEM_PAGE, 0, 40 * MEM_PAGE);
    fill(m, 10000, 1, 1);
    T_EQ(mem_drop(m, m->base + 10000 * MEM_PAGE, MEM_PAGE), 0); /* in the balloon */
    fill(m, PAGES - 1, 1, 3);
}

static int save(const struct mem *m, bool sums, uint64_t *ret_pages)
{
    struct diff d;
    int fd = empty_file();
    T_EQ(diff_collect(&d, m, pagemap), 0);
    T_EQ(diff_write(&d, m, fd, NULL, &meta, sums), 0);
    if (ret_pages != NULL)
        *ret_pages = d.data_pages;
    diff_done(&d);
    return fd;
}

static int load(struct mem *m, int fd, bool sealed, struct error *err)
{
    struct diff d;
    int rv = diff_open(&d, fd, &meta, err);
    if (rv == 0)
        rv = diff_apply(&d, m, fd, sealed, err);
    diff_done(&d);
    return rv;
}

static void expect_equal(const struct mem *a, const struct mem *b)
{
    T_EQ(memcmp(a->base, b->base, SIZE), 0);
}

static void crc_is_the_usual_one(void)
{
    uint8_t data[1000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31);
    T_EQ(crc32c_update(0, "123456789", 9), 0xe3069283);
    T_EQ(crc32c_slow(0, "123456789", 9), 0xe3069283);
    for (size_t len = 0; len < sizeof(data); len += 13)
        T_EQ(crc32c_update(crc32c_update(0, data, len), data + len, sizeof(data) - len),
             crc32c_slow(0, data, sizeof(data)));
}

static uint32_t sum_of(const void *data, size_t len, size_t piece)
{
    struct pagesum s;
    pagesum_begin(&s);
    for (size_t at = 0; at < len; at += piece)
        pagesum_add(&s, (const uint8_t *)data + at, piece);
    return pagesum_end(&s);
}

static void a_sum_sees_each_bit(void)
{
    static uint8_t page[MEM_PAGE];
    for (size_t i = 0; i < sizeof(page); i++)
        page[i] = (uint8_t)(i * 31 + i / 256);
    uint32_t sum = sum_of(page, sizeof(page), sizeof(page));
    T_EQ(sum, sum_of(page, sizeof(page), 32));
    for (size_t bit = 0; bit < sizeof(page) * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_TRUE(sum_of(page, sizeof(page), sizeof(page)) != sum);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* Words that change places, and zeros more or less. */
    uint64_t word[8] = {1, 2, 3, 4, 5, 6, 7, 8}, swapped[8] = {5, 2, 3, 4, 1, 6, 7, 8};
    T_TRUE(sum_of(word, 64, 64) != sum_of(swapped, 64, 64));
    memset(page, 0, sizeof(page));
    T_TRUE(sum_of(page, 64, 32) != sum_of(page, 32, 32));
}

static void a_difference_of_before_is_read(void)
{
    struct mem a, b;
    struct diff_header h;
    uint64_t pages;
    open_clone(&a);
    memset(a.base + 8 * MEM_PAGE, 0x31, 20 * MEM_PAGE);
    int fd = save(&a, true, &pages);
    T_EQ(pread(fd, &h, sizeof(h), 0), sizeof(h));
    T_EQ(h.version, DIFF_VERSION);
    T_EQ(h.sums, 1);
    struct diff_run run[8];
    size_t len = h.runs * sizeof(run[0]);
    T_TRUE(h.runs <= 8);
    T_EQ(pread(fd, run, len, MEM_PAGE), len);
    uint32_t sum = crc32c_update(0, a.base + 8 * MEM_PAGE, pages * MEM_PAGE);
    h.version = DIFF_VERSION_CRC;
    for (unsigned int good = 0; good < 2; good++) {
        uint32_t wrong = sum + 1 - good;
        h.table_crc = crc32c_update(crc32c_update(0, run, len), &wrong, sizeof(wrong));
        h.crc = crc32c_update(0, &h, offsetof(struct diff_header, crc));
        T_EQ(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
        T_EQ(pwrite(fd, &wrong, sizeof(wrong), (off_t)(MEM_PAGE + len)), sizeof(wrong));
        open_clone(&b);
        T_EQ(load(&b, fd, false, NULL), good ? 0 : -EINVAL);
        if (good)
            expect_equal(&a, &b);
        mem_done(&b);
    }
    mem_done(&a);
}

static void nothing_written_is_nothing(void)
{
    struct mem a, b;
    struct stat st;
    uint64_t pages;
    open_clone(&a);
    (void)((volatile uint8_t *)a.base)[8 * MEM_PAGE]; /* read only */
    int fd = save(&a, true, &pages);
    T_EQ(pages, 0);
    T_EQ(fstat(fd, &st), 0);
    T_EQ(st.st_size, MEM_PAGE);
    open_clone(&b);
    T_EQ(load(&b, fd, false, NULL), 0);
    expect_equal(&a, &b);
    mem_done(&a);
    mem_done(&b);
    close(fd);
}

static void memory_comes_back(void)
{
    struct mem a, b;
    struct stat st;
    uint64_t pages;
    open_clone(&a);
    live(&a);
    int fd = save(&a, true, &pages);
    /* What was cleared or given back takes no bytes; what was written does. */
    T_TRUE(pages > 600 && pages < 800);
    T_EQ(fstat(fd, &st), 0);
    T_TRUE((uint64_t)st.st_size < (pages + 4) * MEM_PAGE);
    open_clone(&b);
    T_EQ(load(&b, fd, false, NULL), 0);
    expect_equal(&a, &b);
    mem_done(&a);
    mem_done(&b);
    close(fd);
}

/* The difference of a clone of a difference needs the base and nothing else. */
static void there_are_no_chains(void)
{
    struct mem a, b, c;
    uint64_t before, pages;
    open_clone(&a);
    live(&a);
    int first = save(&a, true, &before);
    open_clone(&b);
    T_EQ(load(&b, first, false, NULL), 0);
    close(first);
    fill(&b, 3000, 10, 77);
    fill(&b, 4050, 1, 78);
    T_EQ(mem_zap(&b, b.base + 4400 * MEM_PAGE, 64 * MEM_PAGE), 0);
    int second = save(&b, true, &pages);
    T_EQ(pages, before + 10 - 64);
    open_clone(&c);
    T_EQ(load(&c, second, false, NULL), 0);
    expect_equal(&b, &c);
    mem_done(&a);
    mem_done(&b);
    mem_done(&c);
    close(second);
}

static void seal(int fd)
{
    T_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
}

static void children_share_what_is_sealed(void)
{
    struct mem a, child[2], grandchild;
    uint64_t pages;
    open_clone(&a);
    live(&a);
    int fd = save(&a, false, NULL);
    seal(fd);
    for (size_t i = 0; i < 2; i++) {
        open_clone(&child[i]);
        T_EQ(load(&child[i], fd, true, NULL), 0);
        expect_equal(&a, &child[i]);
        T_EQ(mem_origin(&child[i], 4000), MEM_LAID);
        T_EQ(mem_origin(&child[i], 6000), MEM_ZEROS);
        T_EQ(mem_origin(&child[i], 10000), MEM_FILE);
    }
    close(fd);
    fill(&child[0], 4001, 3, 99);
    expect_equal(&a, &child[1]);
    /* What it gives back, it does not get again. */
    T_EQ(mem_zap(&child[0], child[0].base + 4500 * MEM_PAGE, 64 * MEM_PAGE), 0);
    T_EQ(mem_origin(&child[0], 4500), MEM_ZEROS);
    /* Pages that it shares are part of its difference, although it never touched them. */
    fd = save(&child[0], true, &pages);
    open_clone(&grandchild);
    T_EQ(load(&grandchild, fd, false, NULL), 0);
    expect_equal(&child[0], &grandchild);
    mem_done(&a);
    mem_done(&child[0]);
    mem_done(&child[1]);
    mem_done(&grandchild);
    close(fd);
}

static void unsealed_without_sums_is_refused(void)
{
    struct mem a, b;
    struct error err = {0};
    open_clone(&a);
    live(&a);
    int fd = save(&a, false, NULL);
    open_clone(&b);
    T_EQ(load(&b, fd, false, &err), -EINVAL);
    T_STR(err.message, "the difference has no checksums, and is not sealed");
    mem_done(&a);
    mem_done(&b);
    close(fd);
}

/* Loads `fd` over a view of its own. */
static int try_load(int fd)
{
    struct mem m;
    open_clone(&m);
    int rv = load(&m, fd, false, NULL);
    mem_done(&m);
    return rv;
}

static void flip(int fd, uint64_t bit)
{
    uint8_t byte;
    T_EQ(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
    byte ^= (uint8_t)(1 << bit % 8);
    T_EQ(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
}

static void a_flipped_bit_is_seen(void)
{
    struct mem a;
    open_clone(&a);
    fill(&a, 5, 2, 1);
    fill(&a, 100, 600, 2);
    memset(a.base + 1600 * MEM_PAGE, 0, MEM_PAGE);
    int fd = save(&a, true, NULL);
    const uint64_t head = sizeof(struct diff_header) * 8, table = MEM_PAGE * 8ull;
    const uint64_t data = 2ull * MEM_PAGE * 8, page = MEM_PAGE * 8ull;
    T_EQ(try_load(fd), 0);
    for (uint64_t bit = 0; bit < head; bit++) {
        flip(fd, bit);
        T_EQ(try_load(fd), -EINVAL);
        flip(fd, bit);
    }
    /* Three runs and three sums. */
    for (uint64_t bit = 0; bit < (3 * 8 + 3 * 4) * 8; bit++) {
        flip(fd, table + bit);
        T_EQ(try_load(fd), -EINVAL);
        flip(fd, table + bit);
    }
    for (uint64_t at = 0; at < 602; at += 43) {
        flip(fd, data + at * page + at * 11);
        T_EQ(try_load(fd), -EINVAL);
        flip(fd, data + at * page + at * 11);
    }
    T_EQ(try_load(fd), 0);
    mem_done(&a);
    close(fd);
}

static void a_file_of_another_length_is_refused(void)
{
    struct mem a;
    struct stat st;
    open_clone(&a);
    fill(&a, 5, 20, 1);
    int fd = save(&a, true, NULL);
    T_EQ(fstat(fd, &st), 0);
    T_EQ(ftruncate(fd, st.st_size + 1), 0);
    T_EQ(try_load(fd), -EINVAL);
    for (off_t len = st.st_size - 1; len > 0; len -= 1001) {
        T_EQ(ftruncate(fd, len), 0);
        T_EQ(try_load(fd), -EINVAL);
    }
    mem_done(&a);
    close(fd);
}

static void says_what_is_wrong(void)
{
    static const struct {
        struct diff_meta want;
        const char *message;
    } cases[] = {
        {{"other", "fedcba987654321", SIZE}, "the difference belongs to another snapshot"},
        {{"0123456789abcde", "fedcba987654321", SIZE / 2},
         "the difference belongs to another snapshot"},
        {{"0123456789abcde", "other", SIZE}, "the difference is one to another base"},
    };
    struct mem a;
    struct diff d;
    struct error err;
    open_clone(&a);
    live(&a);
    int fd = save(&a, true, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        T_EQ(diff_open(&d, fd, &cases[i].want, &err), -EINVAL);
        T_STR(err.message, cases[i].message);
        diff_done(&d);
    }
    T_EQ(diff_open(&d, base, &meta, &err), -EINVAL);
    T_STR(err.message, "the difference is damaged or cut short");
    mem_done(&a);
    close(fd);
}

/* The disk is full after so many bytes, in the middle of a write: the call fails, and what is there
 * is nothing. */
static void a_full_disk_leaves_nothing_that_opens(void)
{
    struct mem a;
    struct diff d;
    struct rlimit old, full;
    open_clone(&a);
    live(&a);
    T_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 0; room < 700 * MEM_PAGE; room += 123457) {
        int fd = empty_file();
        T_EQ(diff_collect(&d, &a, pagemap), 0);
        full = (struct rlimit){room, old.rlim_max};
        T_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
        T_EQ(diff_write(&d, &a, fd, NULL, &meta, true), -EFBIG);
        T_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
        diff_done(&d);
        T_EQ(try_load(fd), -EINVAL);
        close(fd);
    }
    mem_done(&a);
}

static void only_empty_files_are_written(void)
{
    struct mem a;
    struct diff d;
    int pipes[2];
    open_clone(&a);
    live(&a);
    T_EQ(diff_collect(&d, &a, pagemap), 0);
    T_EQ(diff_write(&d, &a, base, NULL, &meta, true), -EINVAL);
    T_EQ(pipe2(pipes, O_CLOEXEC), 0);
    T_EQ(diff_write(&d, &a, pipes[1], NULL, &meta, true), -EINVAL);
    close(pipes[0]);
    close(pipes[1]);
    diff_done(&d);
    mem_done(&a);
}

/* More runs than a file may have: a made-up page map, of a guest that wrote every other page. */
static void too_many_runs_are_joined(void)
{
    const uint64_t pages = 2ull * DIFF_MAX_RUNS + 4000;
    uint64_t *entry = calloc(pages, sizeof(*entry)), next = 0;
    struct mem m;
    struct diff d;
    int map = memfd_create("pagemap", MFD_CLOEXEC);
    T_EQ(mem_init_new(&m, pages * MEM_PAGE), 0);
    for (uint64_t i = 0; i < pages; i += 2)
        entry[i] = 1ull << 63;
    off_t at = (off_t)((uintptr_t)m.base / MEM_PAGE * sizeof(*entry));
    T_EQ(pwrite(map, entry, pages * sizeof(*entry), at), (ssize_t)(pages * sizeof(*entry)));
    T_EQ(diff_collect(&d, &m, map), 0);
    T_TRUE(d.count <= DIFF_MAX_RUNS);
    for (size_t i = 0; i < d.count; i++) {
        T_TRUE(d.run[i].first <= (next + 1) / 2 * 2); /* no page of its own is left out */
        next = d.run[i].first + (d.run[i].pages & ~DIFF_ZERO);
    }
    T_EQ(next, pages - 1);
    diff_done(&d);
    mem_done(&m);
    free(entry);
    close(map);
}

static void setup(void)
{
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    T_TRUE(pagemap >= 0);
    base = make_base();
}

T_MAIN(T_CASE(setup), T_CASE(crc_is_the_usual_one), T_CASE(a_sum_sees_each_bit),
       T_CASE(a_difference_of_before_is_read), T_CASE(nothing_written_is_nothing),
       T_CASE(memory_comes_back), T_CASE(there_are_no_chains),
       T_CASE(children_share_what_is_sealed), T_CASE(unsealed_without_sums_is_refused),
       T_CASE(a_flipped_bit_is_seen), T_CASE(a_file_of_another_length_is_refused),
       T_CASE(says_what_is_wrong), T_CASE(a_full_disk_leaves_nothing_that_opens),
       T_CASE(only_empty_files_are_written), T_CASE(too_many_runs_are_joined))
