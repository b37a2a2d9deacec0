/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.c - the block device (virtio 1.2, 5.2).
 *
 * A request is read, judged, carried out and answered before the next one is looked at; so there
 * is never one in flight, and a snapshot needs to save none. Data goes between the image and
 * guest memory directly. A guest may change the data while it is written, which harms that
 * guest's disk and nothing else; the header is copied first, and only the copy is judged.
 *
 * Limits: two buckets, bytes and requests. Over either of them the queue is left alone until the
 * timer fires (virtio_blk_resume); the guest sees a slow disk.
 */
#include "virtio_blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#include "iov.h"

#define BLK_SEG_MAX     (VIRTQ_MAX_SIZE - 2)
#define BLK_HEADER      16u
#define BLK_MAX_SECTORS (1u << 22) /* per discard segment: 2 GiB */

struct blk_header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};
_Static_assert(sizeof(struct blk_header) == BLK_HEADER, "request header layout");

struct blk_range {
    uint64_t sector;
    uint32_t sectors;
    uint32_t flags;
};
_Static_assert(sizeof(struct blk_range) == 16, "discard segment layout");

static void blk_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
    const struct virtio_blk *b = container_of(dev, struct virtio_blk, dev);
    struct virtio_blk_config config = {
        .capacity = b->disk->size / DISK_SECTOR,
        .seg_max = BLK_SEG_MAX,
        .physical_block_exp = 3, /* 4 KiB, the unit of the overlay; smaller ones are copied up */
        .min_io_size = 8,
        .max_discard_sectors = BLK_MAX_SECTORS,
        .max_discard_seg = VIRTIO_BLK_MAX_DISCARD,
        .discard_sector_alignment = 8,
        .max_write_zeroes_sectors = BLK_MAX_SECTORS,
        .max_write_zeroes_seg = VIRTIO_BLK_MAX_DISCARD,
        .write_zeroes_may_unmap = 1,
    };
    virtio_config_copy(&config, sizeof(config), offset, data, len);
}

/* Written so that no sum can overflow. */
static bool blk_range_ok(const struct virtio_blk *b, uint64_t sector, uint64_t len)
{
    uint64_t sectors = b->disk->size / DISK_SECTOR;
    return len % DISK_SECTOR == 0 && sector <= sectors && len / DISK_SECTOR <= sectors - sector;
}

static int blk_transfer(struct virtio_blk *b, const struct blk_header *h)
{
    const struct virtq_chain *c = &b->dev.chain;
    struct iovec data[VIRTQ_MAX_SIZE];
    bool write = h->type == VIRTIO_BLK_T_OUT;
    size_t len = write ? c->out_len - BLK_HEADER : c->in_len - 1;
    if (len == 0 || len > VIRTIO_BLK_MAX_REQUEST || !blk_range_ok(b, h->sector, len))
        return -EINVAL;
    uint64_t off = h->sector * DISK_SECTOR;
    rate_take(&b->bytes, len);
    if (write) {
        b->written_bytes += len;
        size_t n = iov_slice(c->iov, c->n_out, BLK_HEADER, len, data);
        return b->disk->ops->write(b->disk, data, n, off, len);
    }
    b->read_bytes += len;
    size_t n = iov_slice(virtq_in(c), c->n_in, 0, len, data);
    return b->disk->ops->read(b->disk, data, n, off, len);
}

static int blk_zero(struct virtio_blk *b, bool discard)
{
    const struct virtq_chain *c = &b->dev.chain;
    struct blk_range range[VIRTIO_BLK_MAX_DISCARD];
    size_t len = c->out_len - BLK_HEADER, count = len / sizeof(range[0]);
    if (count == 0 || count > ARRAY_SIZE(range) || len % sizeof(range[0]) != 0)
        return -EINVAL;
    (void)iov_read(c->iov, c->n_out, BLK_HEADER, range, len);
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = (uint64_t)range[i].sectors * DISK_SECTOR;
        if (range[i].sectors == 0 || range[i].sectors > BLK_MAX_SECTORS ||
            !blk_range_ok(b, range[i].sector, bytes))
            return -EINVAL;
        /* Only "unmap" exists, and only for write-zeroes; the rest must be refused as unsupported
         * (virtio 1.2, 5.2.6.2). */
        if ((range[i].flags & ~1u) != 0 || (discard && range[i].flags != 0))
            return -EOPNOTSUPP;
        int rv = b->disk->ops->zero(b->disk, range[i].sector * DISK_SECTOR, bytes, discard);
        if (rv < 0)
            return rv;
    }
    return 0;
}

static int blk_get_id(const struct virtio_blk *b)
{
    const struct virtq_chain *c = &b->dev.chain;
    if (c->in_len - 1 < sizeof(b->serial))
        return -EINVAL;
    (void)iov_write(virtq_in(c), c->n_in, 0, b->serial, sizeof(b->serial));
    return 0;
}

static int blk_execute(struct virtio_blk *b, const struct blk_header *h)
{
    switch (h->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        return blk_transfer(b, h);
    case VIRTIO_BLK_T_FLUSH:
        return b->disk->ops->flush(b->disk);
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return blk_zero(b, h->type == VIRTIO_BLK_T_DISCARD);
    case VIRTIO_BLK_T_GET_ID:
        return blk_get_id(b);
    default:
        return -EOPNOTSUPP;
    }
}

static void blk_request(struct virtio_blk *b)
{
    const struct virtq_chain *c = &b->dev.chain;
    struct blk_header h;
    if (c->out_len < BLK_HEADER || c->in_len < 1) {
        virtio_broken(&b->dev);
        return;
    }
    (void)iov_read(c->iov, c->n_out, 0, &h, sizeof(h));
    rate_take(&b->ops, 1);
    b->requests++;
    int rv = blk_execute(b, &h);
    uint8_t status = VIRTIO_BLK_S_OK;
    if (rv < 0)
        status = rv == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
    /* The last writable byte, wherever the driver has put it. */
    (void)iov_write(virtq_in(c), c->n_in, c->in_len - 1, &status, 1);
    /* The driver may trust this many bytes, so it never exceeds what was written. */
    bool reads = h.type == VIRTIO_BLK_T_IN || h.type == VIRTIO_BLK_T_GET_ID;
    virtq_push(&b->dev.q[0], c->head, rv == 0 && reads ? (uint32_t)c->in_len : 1);
}

/* True when the limits hold the device back; the timer is set then. */
static bool blk_throttled(struct virtio_blk *b)
{
    if (b->timer.now == NULL)
        return false;
    uint64_t now = b->timer.now(b->timer.ctx);
    uint64_t wait = MAX(rate_wait(&b->bytes, now), rate_wait(&b->ops, now));
    if (wait != 0)
        b->timer.wake_after(b->timer.ctx, wait);
    return wait != 0;
}

static void blk_notify(struct virtio_dev *dev, uint32_t queue)
{
    struct virtio_blk *b = container_of(dev, struct virtio_blk, dev);
    uint32_t done = 0;
    do {
        while (done < VIRTIO_BLK_TURN && !blk_throttled(b) && virtio_pop(dev, queue) > 0) {
            blk_request(b);
            done++;
        }
        if (done == VIRTIO_BLK_TURN) {
            virtio_again(dev, queue);
            break;
        }
    } while (virtio_running(dev) && !blk_throttled(b) && virtq_arm(&dev->q[queue]));
    virtio_signal(dev, queue);
}

static const struct virtio_ops virtio_blk_ops = {
    .name = "blk",
    .id = VIRTIO_ID_BLOCK_,
    .queues = 1,
    .features = VIRTIO_F_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_F_BIT(VIRTIO_BLK_F_TOPOLOGY) |
                VIRTIO_F_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_F_BIT(VIRTIO_BLK_F_DISCARD) |
                VIRTIO_F_BIT(VIRTIO_BLK_F_WRITE_ZEROES),
    .config_read = blk_config_read,
    .notify = blk_notify,
};

void virtio_blk_init(struct virtio_blk *b, struct disk *disk,
                     const struct virtio_blk_limits *limits, const struct virtio_blk_timer *timer,
                     struct mem *mem, const struct irq_line *irq)
{
    uint64_t now = timer->now != NULL ? timer->now(timer->ctx) : 0;
    virtio_init(&b->dev, &virtio_blk_ops, mem, irq);
    b->disk = disk;
    b->timer = *timer;
    rate_init(&b->bytes, limits->bytes_per_second, now);
    rate_init(&b->ops, limits->ops_per_second, now);
    memcpy(b->serial, "corral-disk", sizeof("corral-disk"));
    b->read_bytes = b->written_bytes = b->requests = 0;
}

void virtio_blk_resume(struct virtio_blk *b)
{
    if (virtio_running(&b->dev))
        blk_notify(&b->dev, 0);
}
