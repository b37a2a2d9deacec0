/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "t.h"
#include "workset.h"

#define SIZE  (64ull << 20)
#define PAGES (SIZE / MEM_PAGE)
#define EVERY 100u /* page of the origin is written */

static int memory_file(void)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);
    T_EQ(ftruncate(fd, (off_t)SIZE), 0);
    return fd;
}

/* Private pages of the clone, by the kernel's own account. */
static uint64_t copied(const struct mem *m)
{
    uint64_t n = 0, entry;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    for (uint64_t page = 0; page < PAGES; page++) {
        uint64_t at = ((uintptr_t)m->base / MEM_PAGE + page) * sizeof(entry);
        T_EQ(pread(fd, &entry, sizeof(entry), (off_t)at), sizeof(entry));
        n += (entry >> 63 & 1) == 1 && (entry >> 61 & 1) == 0;
    }
    close(fd);
    return n;
}

static int record(int file)
{
    struct mem origin;
    int out = memfd_create("workset", MFD_CLOEXEC);
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    T_EQ(mem_init_file(&origin, dup(file), SIZE), 0);
    (void)madvise(origin.base, SIZE, MADV_RANDOM);
    for (uint64_t page = 0; page < PAGES; page += EVERY) {
        volatile uint8_t *p = origin.base + page * MEM_PAGE;
        p[0] = 1;
        (void)p[(EVERY / 2) * MEM_PAGE]; /* only read: not to be copied */
    }
    for (uint64_t page = PAGES / 2; page < PAGES / 2 + 1024; page++)
        (void)((volatile uint8_t *)origin.base)[page * MEM_PAGE];
    T_EQ(workset_write(&origin, pagemap, out), 0);
    mem_done(&origin);
    close(pagemap);
    return out;
}

static void what_was_written_is_copied(void)
{
    struct mem clone;
    struct workset w;
    uint64_t gpa, len;
    int file = memory_file(), list = record(file);
    T_EQ(mem_init_file(&clone, dup(file), SIZE), 0);
    T_EQ(workset_open(&w, &clone, list), 0);
    workset_read_ahead(&w, &clone);
    T_EQ(copied(&clone), 0);
    T_EQ(workset_copy(&w, &clone), (PAGES + EVERY - 1) / EVERY);
    T_EQ(copied(&clone), (PAGES + EVERY - 1) / EVERY);
    T_EQ(clone.base[0], 0); /* of the file, not of the other clone */
    T_TRUE(workset_dense(&w, &clone, 0, &gpa, &len));
    T_TRUE(gpa <= SIZE / 2 && gpa + len >= SIZE / 2 + 1024 * MEM_PAGE && gpa + len < SIZE);
    T_TRUE(!workset_dense(&w, &clone, 1, &gpa, &len)); /* the rest is too short */
    workset_done(&w);
    T_EQ(workset_copy(&w, &clone), 0);
    T_TRUE(!workset_dense(&w, &clone, 0, &gpa, &len));
    mem_done(&clone);
    close(list);
    close(file);
}

/* The parts of a list in front of what was written. */
#define HEAD (2 * (WORKSET_AHEAD + WORKSET_DENSE))

static void a_damaged_list_ends_where_it_is_damaged(void)
{
    static const struct {
        uint32_t run[6];
        uint64_t copied;
    } lists[] = {
        {{1, 1, 3, 2, 5, 1}, 4},          {{1, 1, 1, 1, 3, 1}, 1}, {{1, 2, 0, 1, 5, 1}, 2},
        {{1, 0xffffffff, 3, 1, 5, 1}, 0}, {{0, 0, 3, 1, 5, 1}, 0}, {{0xffffffff, 5, 1, 1, 5, 1}, 0},
        {{1, 1, 4, PAGES, 5, 1}, 1},
    };
    static const uint32_t head[HEAD] = {[0] = 5, 0xffffffff, [2 * WORKSET_AHEAD] = PAGES, 1};
    struct workset w;
    uint64_t gpa, len;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        struct mem m;
        int fd = memfd_create("workset", MFD_CLOEXEC);
        T_EQ(write(fd, head, sizeof(head)), sizeof(head));
        T_EQ(write(fd, lists[i].run, sizeof(lists[i].run)), sizeof(lists[i].run));
        T_EQ(mem_init_file(&m, memory_file(), SIZE), 0);
        T_EQ(workset_open(&w, &m, fd), 0);
        workset_read_ahead(&w, &m);
        T_TRUE(!workset_dense(&w, &m, 0, &gpa, &len));
        T_EQ(workset_copy(&w, &m), lists[i].copied);
        T_EQ(copied(&m), lists[i].copied);
        workset_done(&w);
        mem_done(&m);
        close(fd);
    }
}

static void one_list_copies_no_more_than_its_share(void)
{
    static const uint32_t everything[HEAD + 2] = {[HEAD] = 0, 2 * WORKSET_COPY};
    struct mem m;
    struct workset w;
    int fd = memfd_create("workset", MFD_CLOEXEC), file = memfd_create("memory", MFD_CLOEXEC);
    uint64_t size = 4ull * WORKSET_COPY * MEM_PAGE;
    T_EQ(ftruncate(file, (off_t)size), 0);
    T_EQ(write(fd, everything, sizeof(everything)), sizeof(everything));
    T_EQ(mem_init_file(&m, file, size), 0);
    T_EQ(workset_open(&w, &m, fd), 0);
    T_EQ(workset_copy(&w, &m), WORKSET_COPY);
    workset_done(&w);
    mem_done(&m);
    close(fd);
}

static void dense_runs_keep_out_of_the_device_hole(void)
{
    static const uint32_t runs[HEAD] = {
        [2 * WORKSET_AHEAD] = MEM_HOLE_START / MEM_PAGE - 2, 4, MEM_HOLE_START / MEM_PAGE, 3};
    struct mem m;
    struct workset w;
    uint64_t gpa, len;
    int fd = memfd_create("workset", MFD_CLOEXEC), file = memfd_create("memory", MFD_CLOEXEC);
    uint64_t size = MEM_HOLE_START + (1u << 20);
    T_EQ(ftruncate(file, (off_t)size), 0);
    T_EQ(write(fd, runs, sizeof(runs)), sizeof(runs));
    T_EQ(mem_init_file(&m, file, size), 0);
    T_EQ(workset_open(&w, &m, fd), 0);
    T_TRUE(workset_dense(&w, &m, 0, &gpa, &len));
    T_EQ(gpa, MEM_HOLE_START - 2 * MEM_PAGE);
    T_EQ(len, 2 * MEM_PAGE);
    T_TRUE(workset_dense(&w, &m, 1, &gpa, &len));
    T_EQ(gpa, MEM_HOLE_END);
    T_EQ(len, 3 * MEM_PAGE);
    T_TRUE(!workset_dense(&w, &m, 2, &gpa, &len));
    workset_done(&w);
    mem_done(&m);
    close(fd);
}

static void an_empty_or_short_list_is_nothing_to_do(void)
{
    struct mem m;
    struct workset w;
    int fd = memfd_create("workset", MFD_CLOEXEC);
    T_EQ(mem_init_file(&m, memory_file(), SIZE), 0);
    for (size_t size = 0; size <= sizeof(uint32_t[HEAD]); size += 3) {
        T_EQ(ftruncate(fd, (off_t)size), 0);
        T_EQ(workset_open(&w, &m, fd), 0);
        workset_read_ahead(&w, &m);
        T_EQ(workset_copy(&w, &m), 0);
        workset_done(&w);
    }
    T_EQ(copied(&m), 0);
    mem_done(&m);
    close(fd);
}

static void only_private_files_are_recorded(void)
{
    struct mem m;
    struct workset w;
    T_EQ(mem_init_new(&m, SIZE), 0);
    T_EQ(workset_write(&m, 0, 1), -EINVAL);
    T_EQ(workset_open(&w, &m, 0), -EINVAL);
    mem_done(&m);
}

T_MAIN(T_CASE(what_was_written_is_copied), T_CASE(a_damaged_list_ends_where_it_is_damaged),
       T_CASE(one_list_copies_no_more_than_its_share),
       T_CASE(dense_runs_keep_out_of_the_device_hole),
       T_CASE(an_empty_or_short_list_is_nothing_to_do), T_CASE(only_private_files_are_recorded))
