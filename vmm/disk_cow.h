/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_cow.h - a copy-on-write disk: a base image that is never written, and a private sparse
 * overlay file on top.
 *
 * The overlay is a header block, a map with two bits per 4 KiB block of the disk, and the blocks
 * themselves, each at a fixed place (data_offset + its offset on the disk), so that the file
 * system's own sparse allocation does the bookkeeping.
 *
 *   block state   reads come from        changed by
 *   BASE          the base image         -
 *   OWN           the overlay            a write (the rest of a partly written block is copied up)
 *   ZERO          nowhere: zeros         write-zeroes, discard
 *
 * Crash rules:
 *   1. The map is changed in memory only. Flush writes it: first fdatasync (all blocks), then the
 *      changed pages of the map, then fdatasync. A map on disk never names a block whose bytes are
 *      not there.
 *   2. A crash (of this process or of the machine) therefore leaves the map of the last flush. A
 *      block that was BASE or ZERO then reads as it did at that flush; one that was OWN holds its
 *      bytes of then or later ones: what a disk with a write cache does.
 *   3. Each block's state is two bits of one byte, and every mix of old and new bytes of a torn map
 *      page is a map that rule 2 allows.
 *   4. The header's id (disk.h) is taken away before the first change that follows it, and reaches
 *      the disk with the next flush at the latest.
 *   5. A discarded OWN block loses its bytes at once; that it reads as zeros is what "anything"
 *      may be.
 *   6. A publish, for a copy that is made at once, writes the map without waiting for the blocks.
 *      From then to the next flush rule 2 holds for a crash of this process only: after one of the
 *      machine, the map may name a block whose bytes are not there. Only a fork publishes, and the
 *      VM that is forked ends with the machine.
 */
#ifndef CORRAL_VMM_DISK_COW_H
#define CORRAL_VMM_DISK_COW_H

#include "disk.h"

#define DISK_COW_BLOCK    4096u
#define DISK_COW_MAX_SIZE (1ull << 40) /* bytes */

/* Makes an empty overlay for a disk of `size` bytes (at least that of the base, a multiple of
 * DISK_COW_BLOCK) in the empty file `fd`. */
int disk_cow_format(int base_fd, int fd, uint64_t size);

/* Opens base and overlay; takes ownership of both fds on success and holds an exclusive lock on
 * the overlay. -EBUSY when another process has it, -EBADMSG when it is damaged or no overlay,
 * -EPROTO when it has another version, -ESTALE when it belongs to another base. */
int disk_cow_open(int base_fd, int overlay_fd, struct disk **ret);
/* The same for an overlay that this process has just made of that base, and need not check. */
int disk_cow_open_made(int base_fd, int overlay_fd, struct disk **ret);

#endif
