/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.h - block device: one queue, requests done one after the other in the loop.
 *
 * A request is a 16-byte header and the data to write, then the space to read into and one status
 * byte. A request with a bad range, size or type gets an error status; a chain that is no request
 * at all breaks the device.
 */
#ifndef CORRAL_VMM_VIRTIO_BLK_H
#define CORRAL_VMM_VIRTIO_BLK_H

#include "disk.h"
#include "rate.h"
#include "virtio.h"

#define VIRTIO_BLK_TURN        64u        /* requests per turn of the loop */
#define VIRTIO_BLK_MAX_REQUEST (8u << 20) /* bytes */
#define VIRTIO_BLK_MAX_DISCARD 16u        /* segments */

struct virtio_blk_limits {
    uint64_t bytes_per_second, ops_per_second; /* 0: none */
};

/* How a throttled device gets called again: virtio_blk_resume after `ns`. */
struct virtio_blk_timer {
    uint64_t (*now)(void *ctx); /* monotonic ns */
    void (*wake_after)(void *ctx, uint64_t ns);
    void *ctx;
};

struct virtio_blk {
    struct virtio_dev dev;
    struct disk *disk; /* owned by the assembler */
    struct rate bytes, ops;
    struct virtio_blk_timer timer;
    char serial[20];
    uint64_t read_bytes, written_bytes, requests; /* since start */
};

void virtio_blk_init(struct virtio_blk *b, struct disk *disk,
                     const struct virtio_blk_limits *limits, const struct virtio_blk_timer *timer,
                     struct mem *mem, const struct irq_line *irq);
/* The wait may be over: continues with the queue. */
void virtio_blk_resume(struct virtio_blk *b);

#endif
