/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "t.h"
#include "workset.h"

#define SIZE (64ull << 20)

static int memory_file(void)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);
    T_EQ(ftruncate(fd, (off_t)SIZE), 0);
    return fd;
}

static void what_was_touched_is_asked_for_by_a_clone(void)
{
    struct mem origin, clone;
    int file = memory_file(), out = memfd_create("workset", MFD_CLOEXEC);
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    T_EQ(mem_init_file(&origin, dup(file), SIZE), 0);
    (void)madvise(origin.base, SIZE, MADV_RANDOM);
    for (uint64_t page = 0; page < SIZE / MEM_PAGE; page += 100)
        origin.base[page * MEM_PAGE] = 1;
    T_EQ(workset_write(&origin, pagemap, out), 0);
    T_TRUE(lseek(out, 0, SEEK_END) <= (off_t)(WORKSET_MAX_RUNS * 8));
    T_EQ(mem_init_file(&clone, dup(file), SIZE), 0);
    T_TRUE(workset_prefetch(&clone, out) >= (int)(SIZE / MEM_PAGE - 100));
    T_EQ(clone.base[0], 0); /* of the file, not of the other clone */
    mem_done(&origin);
    mem_done(&clone);
    close(pagemap);
    close(out);
    close(file);
}

static void a_damaged_list_ends_where_it_is_damaged(void)
{
    static const uint32_t lists[][4] = {
        {0, 0, 1, 1}, {1, 1, 1, 1}, {1, 0xffffffff, 3, 1}, {0xffffffff, 5, 1, 1}, {1, 2, 0, 1},
    };
    static const int wanted[] = {0, 1, 0, 0, 2};
    struct mem m;
    T_EQ(mem_init_file(&m, memory_file(), SIZE), 0);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        int fd = memfd_create("workset", MFD_CLOEXEC);
        T_EQ(write(fd, lists[i], sizeof(lists[i])), sizeof(lists[i]));
        T_EQ(workset_prefetch(&m, fd), wanted[i]);
        close(fd);
    }
    mem_done(&m);
}

static void only_private_files_are_recorded(void)
{
    struct mem m;
    T_EQ(mem_init_new(&m, SIZE), 0);
    T_EQ(workset_write(&m, 0, 1), -EINVAL);
    mem_done(&m);
}

T_MAIN(T_CASE(what_was_touched_is_asked_for_by_a_clone),
       T_CASE(a_damaged_list_ends_where_it_is_damaged), T_CASE(only_private_files_are_recorded))
