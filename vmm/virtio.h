/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.h - a virtio device between its transport and its own code.
 *
 * The transport owns `status`, the negotiated features and the queue configuration; it calls the
 * ops. It calls `notify` only between `activate` and `reset`. Every device runs
 * under the VM's lock: ops and loop callbacks never run at the same time.
 *
 * When a driver breaks the rules its device is marked broken: it ignores all queues until the
 * driver resets it. Nothing a driver does ends the process or floods the log.
 */
#ifndef CORRAL_VMM_VIRTIO_H
#define CORRAL_VMM_VIRTIO_H

#include "irq.h"
#include "virtq.h"

#define VIRTIO_MAX_QUEUES 5u
#define VIRTIO_F_BIT(n)   (1ull << (n))

#define VIRTIO_ID_BLOCK_   2u
#define VIRTIO_ID_RNG_     4u
#define VIRTIO_ID_BALLOON_ 5u
#define VIRTIO_ID_VSOCK_   19u

#define VIRTIO_AGAIN_DROP (1u << 31) /* in virtio_dev.again: `drop` is due */

#define VIRTIO_ISR_QUEUE  0x1u
#define VIRTIO_ISR_CONFIG 0x2u

struct virtio_dev;

struct virtio_ops {
    const char *name;
    uint32_t id;
    uint32_t queues;   /* queues 0 to queues - 1 exist */
    uint64_t features; /* beside VERSION_1 and EVENT_IDX, which every device offers */
    /* Up to 8 bytes of configuration space. NULL reads as zero. */
    void (*config_read)(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len);
    void (*config_write)(struct virtio_dev *dev, uint32_t offset, const void *data, uint32_t len);
    void (*activate)(struct virtio_dev *dev); /* the driver is ready; may be NULL */
    void (*notify)(struct virtio_dev *dev, uint32_t queue);
    /* The driver has reset the device: drop its settings at once; may be NULL. */
    void (*reset)(struct virtio_dev *dev);
    /* Drop what needs system calls to drop. Called by the loop, some time after the reset and
     * before the next `notify`: a vCPU thread, which resets, may make none. May be NULL. */
    void (*drop)(struct virtio_dev *dev);
};

struct virtio_dev {
    const struct virtio_ops *ops;
    struct mem *mem;
    struct irq_line irq;
    uint64_t features; /* accepted by the driver */
    uint32_t isr;
    uint8_t status;
    bool broken;
    uint32_t again; /* queues with more work than one turn of the loop may take; bit per queue */
    struct virtq q[VIRTIO_MAX_QUEUES];
    struct virtq_chain chain; /* filled by virtio_pop */
};

void virtio_init(struct virtio_dev *dev, const struct virtio_ops *ops, struct mem *mem,
                 const struct irq_line *irq);
uint64_t virtio_offered(const struct virtio_dev *dev);
/* DRIVER_OK is set and the driver has kept to the rules. */
bool virtio_running(const struct virtio_dev *dev);
void virtio_reset(struct virtio_dev *dev);

/* For devices. Pops from a queue: 1, or 0 when nothing is there or the device just broke. */
int virtio_pop(struct virtio_dev *dev, uint32_t queue);
/* Raises the interrupt when the driver wants one for this queue. */
void virtio_signal(struct virtio_dev *dev, uint32_t queue);
void virtio_broken(struct virtio_dev *dev);

/* Leaves the rest of the queue for the next turn of the loop: no driver can monopolise the loop.
 */
static inline void virtio_again(struct virtio_dev *dev, uint32_t queue)
{
    dev->again |= 1u << queue;
}

/* One turn for the queues that asked for one. */
void virtio_run_again(struct virtio_dev *dev);

/* Copies bytes of a configuration structure for config_read; what lies behind it is zero. */
void virtio_config_copy(const void *config, size_t size, uint32_t offset, void *data, uint32_t len);

/* Feeds every ready queue to `notify` once, as if the driver had asked: requests made before a
 * pause are completed before the state is saved. */
void virtio_kick_all(struct virtio_dev *dev);

/* After a pause or a restore: no edge and no notification of the time before is lost. */
void virtio_resume(struct virtio_dev *dev);
void virtio_save(const struct virtio_dev *dev, struct buf *out);
int virtio_load(struct virtio_dev *dev, struct cursor *c);

#endif
