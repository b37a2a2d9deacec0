/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.h - block device: one queue; its requests are carried out by the disk's thread.
 *
 * A request is a 16-byte header and the data to write, then the space to read into and one status
 * byte. A request with a bad range, size or type gets an error status; a chain that is no request
 * at all breaks the device.
 */
#ifndef CORRAL_VMM_VIRTIO_BLK_H
#define CORRAL_VMM_VIRTIO_BLK_H

#include "disk_worker.h"
#include "rate.h"
#include "virtio.h"

#define VIRTIO_BLK_TURN        64u         /* requests per turn of the loop */
#define VIRTIO_BLK_MAX_REQUEST (8u << 20)  /* bytes */
#define VIRTIO_BLK_MAX_DISCARD 16u         /* segments */
#define VIRTIO_BLK_SLOTS       16u         /* requests under way */
#define VIRTIO_BLK_NOW         (64u << 10) /* bytes; a read up to this is tried in the loop */

struct virtio_blk_limits {
    uint64_t bytes_per_second, ops_per_second; /* 0: none */
};

/* How a throttled device gets called again: virtio_blk_resume after `ns`. */
struct virtio_blk_timer {
    uint64_t (*now)(void *ctx); /* monotonic ns */
    void (*wake_after)(void *ctx, uint64_t ns);
    void *ctx;
};

/* A request under way. What it needs of the chain was copied; the buffers are guest memory, which
 * is there as long as the process. */
struct virtio_blk_slot {
    struct disk_job job;
    bool used;
    uint16_t head;
    uint32_t len;    /* bytes that the driver may trust after a success */
    uint8_t *status; /* in guest memory */
    union {
        struct iovec data[VIRTQ_MAX_SIZE];
        struct disk_range range[VIRTIO_BLK_MAX_DISCARD];
    };
};

struct virtio_blk {
    struct virtio_dev dev;
    struct disk_worker *worker; /* owned by the assembler */
    struct virtio_blk_slot slot[VIRTIO_BLK_SLOTS];
    struct rate bytes, ops;
    struct virtio_blk_timer timer;
    char serial[20];
    uint64_t read_bytes, written_bytes, requests; /* since start */
};

void virtio_blk_init(struct virtio_blk *b, struct disk_worker *worker,
                     const struct virtio_blk_limits *limits, const struct virtio_blk_timer *timer,
                     struct mem *mem, const struct irq_line *irq);
/* A wait may be over, or requests are done: answers them and continues with the queue. */
void virtio_blk_resume(struct virtio_blk *b);
/* Answers what the worker has done, and takes no new request: for a pause. */
void virtio_blk_settle(struct virtio_blk *b);

#endif
