/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.c - the memory balloon (virtio 1.2, 5.5): inflate, deflate, free page reporting.
 *
 * What the guest gives up is dropped from the host's memory at once, page by page as it is named.
 * Nothing is remembered: a page that the guest takes back is filled again by its next fault. So a
 * guest that lies harms its own memory only.
 *
 * Reporting is the one that matters. The guest needs no target and no process for it: its
 * allocator reports large free blocks every few seconds. They must read as zeros afterwards
 * (mem_zap in mem.c).
 */
#include "virtio_balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <string.h>

#include "iov.h"

#define BALLOON_INFLATE 0u
#define BALLOON_DEFLATE 1u
/*
 * Reporting is the fifth queue of the specification; drivers that number only the queues they use
 * make it the third, or the fourth. No other feature that has a queue is offered, so any queue
 * from the third on is the reporting queue.
 */
#define BALLOON_QUEUES 5u
#define BALLOON_TURN   64u
#define BALLOON_PFNS   256u

struct balloon_config {
    uint32_t num_pages, actual, free_page_hint_cmd_id, poison_val;
};

static void balloon_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
    const struct virtio_balloon *b = container_of(dev, struct virtio_balloon, dev);
    struct balloon_config config = {
        .num_pages = b->target,
        .actual = b->actual,
        .poison_val = b->poison,
    };
    virtio_config_copy(&config, sizeof(config), offset, data, len);
}

static void balloon_config_write(struct virtio_dev *dev, uint32_t offset, const void *data,
                                 uint32_t len)
{
    struct virtio_balloon *b = container_of(dev, struct virtio_balloon, dev);
    if (len != sizeof(uint32_t))
        return;
    if (offset == offsetof(struct balloon_config, actual))
        memcpy(&b->actual, data, len);
    else if (offset == offsetof(struct balloon_config, poison_val))
        memcpy(&b->poison, data, len);
}

static void balloon_inflate(struct virtio_balloon *b, const struct virtq_chain *c)
{
    uint32_t pfn[BALLOON_PFNS];
    size_t got = iov_read(c->iov, c->n_out, 0, pfn, sizeof(pfn)) / sizeof(pfn[0]);
    for (size_t i = 0; i < got; i++) {
        uint64_t gpa = (uint64_t)pfn[i] << VIRTIO_BALLOON_PFN_SHIFT;
        /* A page number outside of RAM is ignored. */
        void *page = mem_at(b->dev.mem, gpa, MEM_PAGE);
        if (page != NULL && mem_drop(b->dev.mem, page, MEM_PAGE) == 0)
            b->reclaimed += MEM_PAGE;
    }
}

/* The reported pages are the request's buffers themselves, already checked to be guest memory.
 * Linux names one block after the other, most often downwards: neighbours go in one call, and are
 * one piece of the mapping. */
static void balloon_report(struct virtio_balloon *b, const struct virtq_chain *c)
{
    const struct iovec *iov = virtq_in(c);
    if (b->poison != 0)
        return; /* the guest wants a pattern back, which only its own pages hold */
    for (size_t i = 0; i < c->n_in;) {
        uint8_t *start = iov[i].iov_base, *end = start + iov[i].iov_len;
        for (i++; i < c->n_in; i++) {
            uint8_t *next = iov[i].iov_base;
            if (next == end)
                end += iov[i].iov_len;
            else if (next + iov[i].iov_len == start)
                start = next;
            else
                break;
        }
        if (mem_zap(b->dev.mem, start, (uint64_t)(end - start)) == 0)
            b->reclaimed += (uint64_t)(end - start);
    }
}

static void balloon_notify(struct virtio_dev *dev, uint32_t queue)
{
    struct virtio_balloon *b = container_of(dev, struct virtio_balloon, dev);
    uint32_t done = 0;
    do {
        while (done < BALLOON_TURN && virtio_pop(dev, queue) > 0) {
            if (queue == BALLOON_INFLATE)
                balloon_inflate(b, &dev->chain);
            else if (queue > BALLOON_DEFLATE)
                balloon_report(b, &dev->chain);
            virtq_push(&dev->q[queue], dev->chain.head, 0);
            done++;
        }
        if (done == BALLOON_TURN) {
            virtio_again(dev, queue);
            break;
        }
    } while (virtio_running(dev) && virtq_arm(&dev->q[queue]));
    virtio_signal(dev, queue);
}

static void balloon_reset(struct virtio_dev *dev)
{
    struct virtio_balloon *b = container_of(dev, struct virtio_balloon, dev);
    b->actual = 0;
    b->poison = 0;
}

static const struct virtio_ops virtio_balloon_ops = {
    .name = "balloon",
    .id = VIRTIO_ID_BALLOON_,
    .queues = BALLOON_QUEUES,
    .features = VIRTIO_F_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
                VIRTIO_F_BIT(VIRTIO_BALLOON_F_PAGE_POISON) |
                VIRTIO_F_BIT(VIRTIO_BALLOON_F_REPORTING),
    .config_read = balloon_config_read,
    .config_write = balloon_config_write,
    .notify = balloon_notify,
    .reset = balloon_reset,
};

void virtio_balloon_init(struct virtio_balloon *b, struct mem *mem, const struct irq_line *irq)
{
    virtio_init(&b->dev, &virtio_balloon_ops, mem, irq);
    b->target = b->actual = b->poison = 0;
    b->reclaimed = 0;
}

void virtio_balloon_set_target(struct virtio_balloon *b, uint32_t pages)
{
    b->target = (uint32_t)MIN((uint64_t)pages, b->dev.mem->size / MEM_PAGE);
    if (virtio_running(&b->dev)) {
        b->dev.isr |= VIRTIO_ISR_CONFIG;
        irq_raise(&b->dev.irq);
    }
}

void virtio_balloon_save(const struct virtio_balloon *b, struct buf *out)
{
    (void)buf_u32(out, b->target);
    (void)buf_u32(out, b->actual);
    (void)buf_u32(out, b->poison);
}

/* Any value will do: the driver could have written them, and the target is only a wish. */
int virtio_balloon_load(struct virtio_balloon *b, struct cursor *c)
{
    b->target = cursor_u32(c);
    b->actual = cursor_u32(c);
    b->poison = cursor_u32(c);
    return cursor_end(c) ? 0 : -EINVAL;
}
