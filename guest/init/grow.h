/* SPDX-License-Identifier: Apache-2.0 */
/* grow.h - lets a file system fill its disk. */
#ifndef CORRAL_INIT_GROW_H
#define CORRAL_INIT_GROW_H

#include <stdint.h>

/* The number of blocks of the ext4 whose superblock `sb` (1024 bytes) is, and their size. 0 or
 * -EINVAL when it is none. */
int grow_read_superblock(const uint8_t *sb, uint64_t *ret_blocks, uint32_t *ret_block_size);

/* Grows the ext4 of block device `disk`, mounted at `root`, to the device's size; does nothing when
 * it has it. 0 or a negative errno. */
int grow_ext4(const char *disk, const char *root);

#endif
