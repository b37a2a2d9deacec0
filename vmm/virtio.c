/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.c - what all virtio devices share: status, features, interrupts, a broken driver.
 *
 * `again` is how a device gives way: it does a bounded number of requests a turn and sets the
 * queue's bit, and the loop comes back after it has looked at everything else. The bit also
 * carries work from a vCPU thread, which may make few system calls (filter.c), to the loop, which
 * may make them.
 *
 * A broken driver gets DEVICE_NEEDS_RESET and a configuration interrupt (virtio 1.2, 2.1.2), and
 * its queues are left alone until it resets the device. To the host this is a state like any
 * other.
 */
#include "virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#define VIRTIO_STATUS_VALID                                                                        \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |          \
     VIRTIO_CONFIG_S_DRIVER_OK)

void virtio_init(struct virtio_dev *dev, const struct virtio_ops *ops, struct mem *mem,
                 const struct irq_line *irq)
{
    *dev = (struct virtio_dev){.ops = ops, .mem = mem, .irq = *irq};
}

uint64_t virtio_offered(const struct virtio_dev *dev)
{
    return dev->ops->features | VIRTIO_F_BIT(VIRTIO_F_VERSION_1) |
           VIRTIO_F_BIT(VIRTIO_RING_F_EVENT_IDX);
}

bool virtio_running(const struct virtio_dev *dev)
{
    return (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0 && !dev->broken;
}

void virtio_reset(struct virtio_dev *dev)
{
    bool was_up = (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0;
    if (was_up && dev->ops->reset != NULL)
        dev->ops->reset(dev);
    for (size_t i = 0; i < VIRTIO_MAX_QUEUES; i++)
        virtq_reset(&dev->q[i]);
    dev->features = 0;
    dev->isr = 0;
    dev->status = 0;
    dev->broken = false;
    dev->again &= VIRTIO_AGAIN_DROP;
    /* Resets run on a vCPU thread, whose filter allows no close. */
    if (was_up && dev->ops->drop != NULL)
        dev->again |= VIRTIO_AGAIN_DROP;
}

static void virtio_drop(struct virtio_dev *dev)
{
    if ((dev->again & VIRTIO_AGAIN_DROP) == 0)
        return;
    dev->again &= ~VIRTIO_AGAIN_DROP;
    dev->ops->drop(dev);
}

int virtio_pop(struct virtio_dev *dev, uint32_t queue)
{
    if (!virtio_running(dev))
        return 0;
    int rv = virtq_pop(&dev->q[queue], &dev->chain);
    if (rv < 0) {
        virtio_broken(dev);
        return 0;
    }
    return rv;
}

/* The driver reads and acknowledges this register before it looks at the rings, and both happen
 * under the lock: while it has not acknowledged one edge, it will see what a second would tell. An
 * interrupt costs the guest two exits. */
static void virtio_raise(struct virtio_dev *dev)
{
    bool told = (dev->isr & VIRTIO_ISR_QUEUE) != 0;
    dev->isr |= VIRTIO_ISR_QUEUE;
    if (!told)
        irq_raise(&dev->irq);
}

/* One decision for all that was pushed: devices call this once, at the end of a batch. */
void virtio_signal(struct virtio_dev *dev, uint32_t queue)
{
    if (!dev->broken && dev->q[queue].ready && virtq_wants_irq(&dev->q[queue]))
        virtio_raise(dev);
}

void virtio_broken(struct virtio_dev *dev)
{
    dev->broken = true;
    dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    dev->isr |= VIRTIO_ISR_CONFIG;
    irq_raise(&dev->irq);
}

void virtio_run_again(struct virtio_dev *dev)
{
    virtio_drop(dev);
    uint32_t queues = dev->again;
    dev->again = 0;
    for (uint32_t i = 0; i < dev->ops->queues; i++) {
        if ((queues & 1u << i) != 0 && virtio_running(dev) && dev->q[i].ready)
            dev->ops->notify(dev, i);
    }
}

void virtio_config_copy(const void *config, size_t size, uint32_t offset, void *data, uint32_t len)
{
    if (offset < size)
        memcpy(data, (const uint8_t *)config + offset, MIN((size_t)len, size - offset));
}

void virtio_kick_all(struct virtio_dev *dev)
{
    virtio_drop(dev);
    for (uint32_t i = 0; i < dev->ops->queues; i++) {
        if (virtio_running(dev) && dev->q[i].ready)
            dev->ops->notify(dev, i);
    }
}

void virtio_resume(struct virtio_dev *dev)
{
    /* What the driver has not acknowledged it is told again: the edge may have been on its way to
     * the interrupt chip when that was saved. */
    if (dev->isr != 0)
        irq_raise(&dev->irq);
    virtio_kick_all(dev);
}

void virtio_save(const struct virtio_dev *dev, struct buf *out)
{
    (void)buf_u32(out, dev->ops->id);
    (void)buf_u64(out, dev->features);
    (void)buf_u32(out, dev->isr);
    (void)buf_u32(out, dev->status);
    (void)buf_u32(out, dev->broken);
    (void)buf_u32(out, dev->ops->queues);
    for (uint32_t i = 0; i < dev->ops->queues; i++)
        virtq_save(&dev->q[i], out);
}

int virtio_load(struct virtio_dev *dev, struct cursor *c)
{
    uint32_t id = cursor_u32(c);
    uint64_t features = cursor_u64(c);
    uint32_t isr = cursor_u32(c), status = cursor_u32(c), broken = cursor_u32(c);
    uint32_t queues = cursor_u32(c);
    if (!cursor_ok(c) || id != dev->ops->id || queues != dev->ops->queues || broken > 1)
        return -EINVAL;
    /* Until the driver has said FEATURES_OK they are only what it wrote. */
    if ((status & VIRTIO_CONFIG_S_FEATURES_OK) != 0 && (features & ~virtio_offered(dev)) != 0)
        return -EINVAL;
    if ((isr & ~(VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG)) != 0)
        return -EINVAL;
    if ((status & ~(VIRTIO_STATUS_VALID | VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)) !=
        0)
        return -EINVAL;
    dev->features = features;
    dev->isr = isr;
    dev->status = (uint8_t)status;
    dev->broken = broken;
    bool event_idx = (features & VIRTIO_F_BIT(VIRTIO_RING_F_EVENT_IDX)) != 0;
    /* Ring addresses are checked again: a snapshot file is input like any other. */
    for (uint32_t i = 0; i < queues; i++) {
        int rv = virtq_load(&dev->q[i], c, dev->mem, event_idx);
        if (rv < 0)
            return rv;
    }
    return 0;
}
