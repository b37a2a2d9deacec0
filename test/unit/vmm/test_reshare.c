/* SPDX-License-Identifier: Apache-2.0 */
/* What a clone gives back of the pages that it has written. */
#include <fcntl.h>
#include <sys/mman.h>

#include "reshare.h"
#include "t.h"

#define SIZE  (64ull << 20)
#define PAGES (SIZE / MEM_PAGE)

static struct mem mem;
static struct reshare_batch batch;
static uint64_t given[PAGES / 64 + 1];
static int pagemap = -1;

/* A clone of a file in which each page begins with its number and one. */
static void setup(void)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);
    T_EQ(ftruncate(fd, (off_t)SIZE), 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        uint64_t number = page + 1;
        T_EQ(pwrite(fd, &number, sizeof(number), (off_t)(page * MEM_PAGE)), sizeof(number));
    }
    T_EQ(mem_init_file(&mem, fd, SIZE), 0);
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    T_TRUE(pagemap >= 0);
}

static void done(void)
{
    memset(given, 0, sizeof(given));
    mem_done(&mem);
    close(pagemap);
}

static volatile uint64_t *words(uint64_t page)
{
    return (volatile uint64_t *)(void *)(mem.base + page * MEM_PAGE);
}

static bool is_own(uint64_t page)
{
    uint64_t entry;
    uint64_t at = ((uintptr_t)mem.base / MEM_PAGE + page) * sizeof(entry);
    T_EQ(pread(pagemap, &entry, sizeof(entry), (off_t)at), sizeof(entry));
    return (entry >> 63 & 1) == 1 && (entry >> 61 & 1) == 0;
}

/* A count that goes up and down again. */
static void borrow(uint64_t page)
{
    words(page)[0]++;
    words(page)[0]--;
    T_TRUE(is_own(page));
}

/* A whole pass; the pages given back. */
static uint64_t pass(void)
{
    uint64_t page = 0, dropped = 0;
    while (page < PAGES) {
        uint64_t before = page;
        T_EQ(reshare_find(&mem, pagemap, &page, PAGES, &batch), 0);
        T_TRUE(page > before);
        dropped += reshare_drop(&mem, &batch, given);
    }
    return dropped;
}

static void what_is_the_same_again_is_given_back(void)
{
    setup();
    for (uint64_t page = 100; page < 110; page++)
        borrow(page);
    words(105)[511] = 7; /* between two that are the same */
    borrow(PAGES - 1);
    T_EQ(pass(), 10);
    for (uint64_t page = 100; page < 110; page++)
        T_EQ(is_own(page), page == 105);
    T_TRUE(!is_own(PAGES - 1));
    T_EQ(words(104)[0], 105);
    T_EQ(words(105)[511], 7);
    T_EQ(words(105)[0], 106);
    T_EQ(pass(), 0);
    words(104)[0] = 1; /* it can be written again */
    T_EQ(words(104)[0], 1);
    done();
}

/* More than a batch, with gaps and changes at every place of one. */
static void many_pages_go_in_batches(void)
{
    uint64_t same = 0;
    setup();
    for (uint64_t page = 0; page < 4000; page += page % 7 == 0 ? 2 : 1) {
        borrow(page);
        if (page % 5 == 0)
            words(page)[page % 512]++;
        else
            same++;
    }
    T_EQ(pass(), same);
    for (uint64_t page = 0; page < 4000; page += page % 7 == 0 ? 2 : 1) {
        T_EQ(is_own(page), page % 5 == 0);
        T_EQ(words(page)[page % 512] - (page % 512 == 0 ? page + 1 : 0), page % 5 == 0);
    }
    done();
}

/* Written after it was looked at: what counts is what it is when the guest stands still. */
static void a_late_write_is_kept(void)
{
    uint64_t page = 0;
    setup();
    borrow(10);
    borrow(11);
    T_EQ(reshare_find(&mem, pagemap, &page, PAGES, &batch), 0);
    T_EQ(batch.count, 2);
    words(10)[3] = 9;
    T_EQ(reshare_drop(&mem, &batch, given), 1);
    T_EQ(given[0], 1u << 11);
    T_EQ(words(10)[3], 9);
    T_TRUE(is_own(10) && !is_own(11));
    done();
}

static void a_search_ends_where_it_is_told(void)
{
    uint64_t page = 10;
    setup();
    for (uint64_t i = 5; i < 15; i++)
        borrow(i);
    T_EQ(reshare_find(&mem, pagemap, &page, 12, &batch), 0);
    T_EQ(page, 12);
    T_EQ(batch.count, 2);
    T_EQ(batch.page[0], 10);
    T_EQ(batch.page[1], 11);
    done();
}

/* Zeros in the place of the file are given back when they are zeros again, and what another file
 * was laid over is left alone. */
static void what_replaces_the_file_counts(void)
{
    int other = memfd_create("other", MFD_CLOEXEC);
    setup();
    T_EQ(ftruncate(other, 16 * MEM_PAGE), 0);
    T_EQ(mem_zap(&mem, mem.base + 64 * MEM_PAGE, 16 * MEM_PAGE), 0);
    T_EQ(mem_lay(&mem, 128, 16, other, 0), 0);
    borrow(64);
    words(65)[0] = 66; /* what the file below the zeros has */
    borrow(128);
    T_EQ(pass(), 1);
    T_TRUE(!is_own(64) && is_own(65) && is_own(128));
    T_EQ(words(64)[0], 0);
    T_EQ(words(65)[0], 66);
    close(other);
    done();
}

/* What the file does not say is not compared. */
static void what_cannot_be_read_stays(void)
{
    uint64_t page = 0;
    setup();
    borrow(20);
    int none = open("/dev/null", O_RDONLY | O_CLOEXEC), fd = mem.fd;
    mem.fd = none;
    T_EQ(reshare_find(&mem, pagemap, &page, PAGES, &batch), 0);
    T_EQ(batch.count, 0);
    mem.fd = fd;
    close(none);
    T_TRUE(is_own(20));
    page = 0;
    T_TRUE(reshare_find(&mem, -1, &page, PAGES, &batch) < 0);
    done();
}

T_MAIN(T_CASE(what_is_the_same_again_is_given_back), T_CASE(many_pages_go_in_batches),
       T_CASE(a_late_write_is_kept), T_CASE(a_search_ends_where_it_is_told),
       T_CASE(what_replaces_the_file_counts), T_CASE(what_cannot_be_read_stays))
