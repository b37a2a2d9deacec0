/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grow.c - grows a mounted ext4 to the size of its disk.
 *
 * The superblock is read from the disk, because statfs() leaves the
 * metadata out of the size; EXT4_RESIZE
 * asks the kernel for the growth, which is quick: it adds groups and writes their descriptors. It
 * works on a mounted file system only.
 */
#include "init/grow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/base.h"

/* The superblock: at byte 1024 of the disk, little-endian. */
#define SB_OFFSET         1024
#define SB_SIZE           1024
#define SB_BLOCKS_LO      0x04
#define SB_LOG_BLOCK_SIZE 0x18 /* log2(block size) - 10 */
#define SB_MAGIC          0x38
#define SB_INCOMPAT       0x60
#define SB_BLOCKS_HI      0x150
#define EXT4_MAGIC        0xef53u
#define INCOMPAT_64BIT    0x80u
#define LOG_BLOCK_MAX     6 /* 64 KiB */

#define EXT4_RESIZE _IOW('f', 16, uint64_t)

static uint32_t get_u16(const uint8_t *p)
{
    return (uint32_t)(p[0] | p[1] << 8);
}

static uint32_t get_u32(const uint8_t *p)
{
    return get_u16(p) | get_u16(p + 2) << 16;
}

int grow_read_superblock(const uint8_t *sb, uint64_t *ret_blocks, uint32_t *ret_block_size)
{
    uint32_t log = get_u32(sb + SB_LOG_BLOCK_SIZE);
    uint64_t blocks = get_u32(sb + SB_BLOCKS_LO);
    if (get_u16(sb + SB_MAGIC) != EXT4_MAGIC || log > LOG_BLOCK_MAX)
        return -EINVAL;
    if (get_u32(sb + SB_INCOMPAT) & INCOMPAT_64BIT)
        blocks |= (uint64_t)get_u32(sb + SB_BLOCKS_HI) << 32;
    *ret_blocks = blocks;
    *ret_block_size = 1024u << log;
    return 0;
}

int grow_ext4(const char *disk, const char *root)
{
    uint8_t sb[SB_SIZE];
    uint64_t bytes = 0, blocks = 0;
    uint32_t block_size = 0;
    cleanup_close int fd = open(disk, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
        return -errno;
    if (pread(fd, sb, sizeof(sb), SB_OFFSET) != (ssize_t)sizeof(sb))
        return -EIO;
    int rv = grow_read_superblock(sb, &blocks, &block_size);
    if (rv < 0)
        return rv;
    uint64_t wanted = bytes / block_size;
    if (wanted <= blocks)
        return 0;
    cleanup_close int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 || ioctl(dir, EXT4_RESIZE, &wanted) < 0 ? -errno : 0;
}
