/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "mem.h"
#include "t.h"

static void translates_only_what_is_ram(void)
{
    struct mem m;
    T_EQ(mem_init_new(&m, 64ull << 20), 0);
    T_TRUE(mem_at(&m, 0, 1) == m.base);
    T_TRUE(mem_at(&m, (64ull << 20) - 1, 1) == m.base + (64 << 20) - 1);
    T_TRUE(mem_at(&m, 0, 64ull << 20) == m.base);
    T_TRUE(mem_at(&m, 0, (64ull << 20) + 1) == NULL);
    T_TRUE(mem_at(&m, 64ull << 20, 1) == NULL);
    T_TRUE(mem_at(&m, 5, 0) == NULL);
    T_TRUE(mem_at(&m, UINT64_MAX, 1) == NULL);
    T_TRUE(mem_at(&m, UINT64_MAX, UINT64_MAX) == NULL);
    T_TRUE(mem_at(&m, 4096, UINT64_MAX - 4095) == NULL);
    T_TRUE(mem_at(&m, MEM_HOLE_END, 1) == NULL);
    mem_done(&m);
}

static void splits_around_the_hole(void)
{
    struct mem m;
    struct mem_region r[2];
    T_EQ(mem_init_new(&m, 4ull << 30), 0); /* sparse: nothing is touched */
    T_EQ(mem_regions(&m, r), 2);
    T_EQ(r[0].len, MEM_HOLE_START);
    T_EQ(r[1].gpa, MEM_HOLE_END);
    T_EQ(r[1].len, 1ull << 30);
    T_TRUE(mem_at(&m, MEM_HOLE_START, 1) == NULL);
    T_TRUE(mem_at(&m, MEM_HOLE_START - 1, 2) == NULL);
    T_TRUE(mem_at(&m, MEM_HOLE_END, 1) == m.base + MEM_HOLE_START);
    T_TRUE(mem_at(&m, MEM_HOLE_END - 1, 2) == NULL);
    T_TRUE(mem_at(&m, MEM_HOLE_END + (1ull << 30) - 1, 1) != NULL);
    T_TRUE(mem_at(&m, MEM_HOLE_END + (1ull << 30) - 1, 2) == NULL);
    T_TRUE(mem_at(&m, MEM_HOLE_END + (1ull << 30), 1) == NULL);
    mem_done(&m);
}

static void rejects_odd_sizes(void)
{
    struct mem m;
    T_EQ(mem_init_new(&m, 0), -EINVAL);
    T_EQ(mem_init_new(&m, (64ull << 20) + 1), -EINVAL);
    T_EQ(mem_init_new(&m, UINT64_MAX & ~4095ull), -EINVAL);
}

static void zap_gives_zeros(void)
{
    struct mem m;
    T_EQ(mem_init_new(&m, 64ull << 20), 0);
    memset(m.base, 7, 3 * MEM_PAGE);
    T_EQ(mem_zap(&m, m.base + 1, 2 * MEM_PAGE), 0); /* only page 1 lies inside as a whole */
    T_EQ(m.base[0], 7);
    T_EQ(m.base[MEM_PAGE], 0);
    T_EQ(m.base[2 * MEM_PAGE], 7);
    mem_done(&m);
}

static void a_private_file_is_never_written(void)
{
    struct mem m;
    uint8_t b;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    T_EQ(ftruncate(fd, 64 << 20), 0);
    T_EQ(pwrite(fd, "x", 1, 1 << 20), 1);
    int keep = dup(fd);
    T_EQ(mem_init_file(&m, fd, 64ull << 20), 0);
    T_EQ(m.base[1 << 20], 'x');
    m.base[1 << 20] = 'y';
    T_EQ(mem_drop(&m, m.base + (1 << 20), MEM_PAGE), 0);
    T_EQ(m.base[1 << 20], 'x');
    T_EQ(mem_zap(&m, m.base + (1 << 20), MEM_PAGE), -ENOSPC); /* too small a piece */
    T_EQ(mem_zap(&m, m.base + (1 << 20), 2 << 20), 0);
    T_EQ(m.base[1 << 20], 0);
    /* What is anonymous already takes no other mapping, and none of the number there may be. */
    uint32_t pieces = m.pieces;
    m.base[1 << 20] = 'z';
    T_EQ(mem_zap(&m, m.base + (1 << 20), MEM_PAGE), 0);
    T_EQ(m.base[1 << 20], 0);
    T_EQ(m.pieces, pieces);
    T_EQ(mem_lay(&m, m.size / MEM_PAGE - 15, 16, -1, 0), -EINVAL);
    T_EQ(mem_lay(&m, UINT64_MAX, 16, -1, 0), -EINVAL);
    mem_done(&m);
    T_EQ(pread(keep, &b, 1, 1 << 20), 1);
    T_EQ(b, 'x');
    T_EQ(mem_init_file(&m, keep, 128ull << 20), -EINVAL); /* shorter than the memory */
    close(keep);
}

static void all_can_be_given_back_block_by_block(void)
{
    const uint64_t size = 2ull << 30, block = 128 << 10;
    struct mem m;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    T_EQ(ftruncate(fd, (off_t)size), 0);
    T_EQ(mem_init_file(&m, fd, size), 0);
    for (uint64_t first = 0; first < 2; first++) { /* every second one has no neighbour */
        for (uint64_t at = first * block; at < size; at += 2 * block)
            T_EQ(mem_zap(&m, m.base + at, block), 0);
    }
    mem_done(&m);
}

T_MAIN(T_CASE(translates_only_what_is_ram), T_CASE(splits_around_the_hole),
       T_CASE(rejects_odd_sizes), T_CASE(zap_gives_zeros), T_CASE(a_private_file_is_never_written),
       T_CASE(all_can_be_given_back_block_by_block))
