/* SPDX-License-Identifier: Apache-2.0 */
/* test_ring.h - the driver's side of a virtqueue, for tests: lays rings out in guest memory,
 * posts chains, reads completions. Polite unless a test pokes the rings itself. */
#ifndef CORRAL_TEST_VMM_RING_H
#define CORRAL_TEST_VMM_RING_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "t.h"
#include "virtio_mmio.h"

#define RING_SIZE 16u
#define RING_MEM  (64ull << 20)

struct ring_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct ring {
    uint64_t desc, avail, used; /* guest addresses */
    uint16_t next_desc, avail_idx, used_seen;
};

static struct mem ring_mem;
static unsigned int ring_irqs;

static inline void ring_on_irq(void *ctx)
{
    (void)ctx;
    ring_irqs++;
}

static const struct irq_line ring_irq = {ring_on_irq, NULL};

static inline void *ring_at(uint64_t gpa)
{
    void *p = mem_at(&ring_mem, gpa, 1);
    T_TRUE(p != NULL);
    return p;
}

static inline void ring_setup(void)
{
    if (ring_mem.base == NULL)
        T_EQ(mem_init_new(&ring_mem, RING_MEM), 0);
    memset(ring_mem.base, 0, 2u << 20);
    ring_irqs = 0;
}

static inline struct ring ring_layout(unsigned int queue)
{
    uint64_t base = 0x10000 + queue * 0x4000ull;
    return (struct ring){.desc = base, .avail = base + 0x1000, .used = base + 0x2000};
}

static inline void ring_reg(struct virtio_mmio *t, uint32_t reg, uint32_t v)
{
    virtio_mmio_write(t, reg, &v, sizeof(v));
}

static inline uint32_t ring_get(struct virtio_mmio *t, uint32_t reg)
{
    uint32_t v;
    virtio_mmio_read(t, reg, &v, sizeof(v));
    return v;
}

static inline void ring_features(struct virtio_mmio *t, uint64_t features)
{
    for (uint32_t i = 0; i < 2; i++) {
        ring_reg(t, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
        ring_reg(t, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
    }
}

static inline void ring_queue(struct virtio_mmio *t, uint32_t queue, const struct ring *r)
{
    ring_reg(t, VIRTIO_MMIO_QUEUE_SEL, queue);
    ring_reg(t, VIRTIO_MMIO_QUEUE_NUM, RING_SIZE);
    ring_reg(t, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)r->desc);
    ring_reg(t, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)r->avail);
    ring_reg(t, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)r->used);
    ring_reg(t, VIRTIO_MMIO_QUEUE_READY, 1);
    T_EQ(ring_get(t, VIRTIO_MMIO_QUEUE_READY), 1);
}

/* The whole handshake, with `queues` queues laid out by ring_layout. */
static inline void ring_start(struct virtio_mmio *t, struct ring *rings, uint32_t queues,
                              uint64_t features)
{
    ring_reg(t, VIRTIO_MMIO_STATUS, 0);
    ring_reg(t, VIRTIO_MMIO_STATUS, 1);
    ring_reg(t, VIRTIO_MMIO_STATUS, 3);
    ring_features(t, features | VIRTIO_F_BIT(VIRTIO_F_VERSION_1));
    ring_reg(t, VIRTIO_MMIO_STATUS, 11);
    T_EQ(ring_get(t, VIRTIO_MMIO_STATUS), 11);
    for (uint32_t i = 0; i < queues; i++) {
        rings[i] = ring_layout(i);
        ring_queue(t, i, &rings[i]);
    }
    ring_reg(t, VIRTIO_MMIO_STATUS, 15);
    T_EQ(ring_get(t, VIRTIO_MMIO_STATUS), 15);
}

static inline struct ring_desc *ring_desc(const struct ring *r, uint16_t i)
{
    return (struct ring_desc *)ring_at(r->desc) + i;
}

static inline void ring_publish(struct ring *r, uint16_t head)
{
    uint16_t *avail = ring_at(r->avail);
    avail[2 + r->avail_idx % RING_SIZE] = head;
    avail[1] = ++r->avail_idx;
}

/* Posts a chain; each part is {guest address, length, VRING_DESC_F_WRITE or 0}. Returns its head.
 */
static inline uint16_t ring_post(struct ring *r, const struct ring_desc *part, size_t n)
{
    uint16_t head = r->next_desc;
    for (size_t i = 0; i < n; i++) {
        uint16_t at = r->next_desc;
        r->next_desc = (uint16_t)((at + 1) % RING_SIZE);
        struct ring_desc d = part[i];
        if (i + 1 < n) {
            d.flags |= VRING_DESC_F_NEXT;
            d.next = r->next_desc;
        }
        *ring_desc(r, at) = d;
    }
    ring_publish(r, head);
    return head;
}

/* The next completion: its length, or -1 when there is none. */
static inline int64_t ring_done(struct ring *r, uint32_t *ret_id)
{
    const uint16_t *used = ring_at(r->used);
    const uint32_t *elem = (const uint32_t *)(const void *)(used + 2);
    if (used[1] == r->used_seen)
        return -1;
    size_t slot = r->used_seen++ % RING_SIZE;
    if (ret_id != NULL)
        *ret_id = elem[2 * slot];
    return elem[2 * slot + 1];
}

#endif
