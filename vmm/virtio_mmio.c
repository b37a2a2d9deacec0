/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mmio.c - the register block in front of a device (virtio 1.2, 4.2.2; status and order
 * 3.1.1).
 *
 * It is the first to meet a hostile driver. Each register has the states in which it may be
 * written (table in the header); at any other time a write is dropped. So a queue runs only with
 * a configuration that has been checked, and the configuration cannot change underneath a device.
 *
 * Runs on the vCPU thread that made the access, under the VM's lock. Notifications usually do not
 * come this way: KVM turns them into an eventfd (vm_attach in vm.c).
 */
#include "virtio_mmio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#define MMIO_MAGIC  0x74726976u /* "virt" */
#define MMIO_VENDOR 0x4c524f43u /* "CORL" */

static bool mmio_has(const struct virtio_mmio *t, uint8_t bit)
{
    return (t->dev->status & bit) != 0;
}

/* NULL when no such queue exists: checked here once, for all registers. */
static struct virtq *mmio_queue(struct virtio_mmio *t)
{
    return t->queue_sel < t->dev->ops->queues ? &t->dev->q[t->queue_sel] : NULL;
}

static uint32_t mmio_register(struct virtio_mmio *t, uint32_t reg)
{
    struct virtio_dev *dev = t->dev;
    struct virtq *q = mmio_queue(t);
    switch (reg) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MMIO_MAGIC;
    case VIRTIO_MMIO_VERSION:
        return 2;
    case VIRTIO_MMIO_DEVICE_ID:
        return dev->ops->id;
    case VIRTIO_MMIO_VENDOR_ID:
        return MMIO_VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        if (t->device_features_sel > 1)
            return 0;
        return (uint32_t)(virtio_offered(dev) >> (32 * t->device_features_sel));
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return q != NULL ? VIRTQ_MAX_SIZE : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return q != NULL && q->ready;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return dev->isr;
    case VIRTIO_MMIO_STATUS:
        return dev->status;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return UINT32_MAX; /* no shared memory region */
    default:
        return 0;
    }
}

void virtio_mmio_read(struct virtio_mmio *t, uint64_t offset, void *data, uint32_t len)
{
    struct virtio_dev *dev = t->dev;
    memset(data, 0, len);
    if (offset >= VIRTIO_MMIO_CONFIG) {
        if (dev->ops->config_read != NULL)
            dev->ops->config_read(dev, (uint32_t)offset - VIRTIO_MMIO_CONFIG, data, len);
        return;
    }
    /* Registers are accessed as aligned 32-bit words only (4.2.2.2); configuration space is not. */
    if (len != 4 || offset % 4 != 0)
        return;
    uint32_t v = mmio_register(t, (uint32_t)offset);
    memcpy(data, &v, sizeof(v));
}

static bool mmio_features_ok(const struct virtio_dev *dev)
{
    return (dev->features & ~virtio_offered(dev)) == 0 &&
           (dev->features & VIRTIO_F_BIT(VIRTIO_F_VERSION_1)) != 0;
}

static void mmio_set_status(struct virtio_mmio *t, uint32_t v)
{
    /* Each step needs all earlier ones, and none is ever taken back. */
    static const uint8_t steps[] = {VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
                                    VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK};
    struct virtio_dev *dev = t->dev;
    if (v == 0) {
        virtio_reset(dev);
        /* The selectors, too: a new driver starts from nothing. */
        *t = (struct virtio_mmio){.dev = dev};
        return;
    }
    if ((v & VIRTIO_CONFIG_S_FAILED) != 0)
        dev->status |= VIRTIO_CONFIG_S_FAILED;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if ((dev->status & steps[i]) != 0)
            continue;
        if ((v & steps[i]) == 0 || (dev->status & VIRTIO_CONFIG_S_FAILED) != 0)
            return;
        if (steps[i] == VIRTIO_CONFIG_S_FEATURES_OK && !mmio_features_ok(dev))
            return;
        dev->status |= steps[i];
        if (steps[i] == VIRTIO_CONFIG_S_DRIVER_OK && dev->ops->activate != NULL)
            dev->ops->activate(dev);
    }
}

static void mmio_set_features(struct virtio_mmio *t, uint32_t v)
{
    if (!mmio_has(t, VIRTIO_CONFIG_S_DRIVER) || mmio_has(t, VIRTIO_CONFIG_S_FEATURES_OK) ||
        t->driver_features_sel > 1)
        return;
    uint32_t shift = 32 * t->driver_features_sel;
    uint64_t keep = t->dev->features & ~((uint64_t)UINT32_MAX << shift);
    t->dev->features = keep | (uint64_t)v << shift;
}

static void mmio_set_half(uint64_t *addr, uint32_t v, bool high)
{
    uint32_t shift = high ? 32 : 0;
    *addr = (*addr & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)v << shift;
}

static void mmio_set_queue(struct virtio_mmio *t, uint32_t reg, uint32_t v)
{
    struct virtq *q = mmio_queue(t);
    if (q == NULL || !mmio_has(t, VIRTIO_CONFIG_S_FEATURES_OK) ||
        mmio_has(t, VIRTIO_CONFIG_S_DRIVER_OK))
        return;
    if (reg == VIRTIO_MMIO_QUEUE_READY) {
        bool event_idx = (t->dev->features & VIRTIO_F_BIT(VIRTIO_RING_F_EVENT_IDX)) != 0;
        if (v == 0)
            q->ready = false;
        else if (v == 1 && !q->ready)
            (void)virtq_enable(q, t->dev->mem, event_idx); /* the driver reads QueueReady back */
        return;
    }
    if (q->ready)
        return;
    switch (reg) {
    case VIRTIO_MMIO_QUEUE_NUM:
        /* Zero makes virtq_enable refuse the queue later. */
        q->size = v <= VIRTQ_MAX_SIZE ? (uint16_t)v : 0;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        mmio_set_half(&q->desc_gpa, v, reg == VIRTIO_MMIO_QUEUE_DESC_HIGH);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        mmio_set_half(&q->avail_gpa, v, reg == VIRTIO_MMIO_QUEUE_AVAIL_HIGH);
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        mmio_set_half(&q->used_gpa, v, reg == VIRTIO_MMIO_QUEUE_USED_HIGH);
        break;
    default:
        break;
    }
}

static void mmio_write_register(struct virtio_mmio *t, uint32_t reg, uint32_t v)
{
    struct virtio_dev *dev = t->dev;
    switch (reg) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        t->device_features_sel = v;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        t->driver_features_sel = v;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        mmio_set_features(t, v);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        t->queue_sel = v;
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        if (virtio_running(dev) && v < dev->ops->queues && dev->q[v].ready)
            dev->ops->notify(dev, v);
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        dev->isr &= ~v;
        break;
    case VIRTIO_MMIO_STATUS:
        mmio_set_status(t, v);
        break;
    default:
        mmio_set_queue(t, reg, v);
        break;
    }
}

void virtio_mmio_write(struct virtio_mmio *t, uint64_t offset, const void *data, uint32_t len)
{
    struct virtio_dev *dev = t->dev;
    uint32_t v;
    if (offset >= VIRTIO_MMIO_CONFIG) {
        if (dev->ops->config_write != NULL)
            dev->ops->config_write(dev, (uint32_t)offset - VIRTIO_MMIO_CONFIG, data, len);
        return;
    }
    if (len != sizeof(v) || offset % 4 != 0)
        return;
    memcpy(&v, data, sizeof(v));
    mmio_write_register(t, (uint32_t)offset, v);
}

void virtio_mmio_save(const struct virtio_mmio *t, struct buf *out)
{
    (void)buf_u32(out, t->device_features_sel);
    (void)buf_u32(out, t->driver_features_sel);
    (void)buf_u32(out, t->queue_sel);
    virtio_save(t->dev, out);
}

int virtio_mmio_load(struct virtio_mmio *t, struct cursor *c)
{
    t->device_features_sel = cursor_u32(c);
    t->driver_features_sel = cursor_u32(c);
    t->queue_sel = cursor_u32(c);
    int rv = virtio_load(t->dev, c);
    return rv == 0 && !cursor_end(c) ? -EINVAL : rv;
}
