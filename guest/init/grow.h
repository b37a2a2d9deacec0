/* SPDX-License-Identifier: Apache-2.0 */
/* grow.h - lets a file system fill its disk. */
#ifndef CORRAL_INIT_GROW_H
#define CORRAL_INIT_GROW_H

#include <stdint.h>

/* Reads the number of blocks and their size from an ext4 superblock, `sb` (1024 bytes). 0, or
 * -EINVAL when it is none. */
int grow_read_superblock(const uint8_t *sb, uint64_t *ret_blocks, uint32_t *ret_block_size);

/* Grows the ext4 of block device `disk`, mounted at `root`, to the device's size. Does nothing when
 * it is that large already. 0 or a negative errno. */
int grow_ext4(const char *disk, const char *root);

#endif
