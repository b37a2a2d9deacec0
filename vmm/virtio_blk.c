/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.c - the block device (virtio 1.2, 5.2).
 *
 * The loop owns the rings: it takes a request, judges the copy, hands a job to the disk's thread
 * (disk_worker.h), and answers when that is done. The thread sees addresses in guest memory that
 * were checked, and no ring. A small read is first tried in the loop, when no other request is
 * under way and the page cache has it all: that is most of a start, and two wake-ups saved for
 * each.
 *
 *   pause, snapshot   the machine waits until the thread is done, and answers all
 * (virtio_blk_settle); so a snapshot has no request under way flush             jobs keep their
 * order, and a flush covers what was answered before it reset             jobs that have not begun
 * are dropped, and the one under way is waited for: a driver may use its buffers for something else
 * at once
 *
 * Data goes between the image and guest memory directly. A guest may change the data while it is
 * written, which harms that guest's disk and nothing else; the header is copied first, and only the
 * copy is judged.
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
#define BLK_ZERO_COST   8192u      /* bytes that a segment is charged: two blocks */
#define BLK_ZERO_SHARE  256u       /* and this part of what it names */

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
        .capacity = b->worker->disk->size / DISK_SECTOR,
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
/*@ assigns \nothing;
  @ ensures exact: \result <==>
  @     len % DISK_SECTOR == 0 && sector * DISK_SECTOR + len <= size / DISK_SECTOR * DISK_SECTOR;
  @*/
static bool blk_range_ok(uint64_t size, uint64_t sector, uint64_t len)
{
    uint64_t sectors = size / DISK_SECTOR;
    return len % DISK_SECTOR == 0 && sector <= sectors && len / DISK_SECTOR <= sectors - sector;
}

/* These make the job in `s` ready: 1, or a negative errno. */

static int blk_transfer(struct virtio_blk *b, const struct blk_header *h, struct virtio_blk_slot *s)
{
    const struct virtq_chain *c = &b->dev.chain;
    bool write = h->type == VIRTIO_BLK_T_OUT;
    size_t len = write ? c->out_len - BLK_HEADER : c->in_len - 1;
    if (len == 0 || len > VIRTIO_BLK_MAX_REQUEST ||
        !blk_range_ok(b->worker->disk->size, h->sector, len))
        return -EINVAL;
    s->job = (struct disk_job){
        .op = write ? DISK_WRITE : DISK_READ,
        .iov = s->data,
        .n = write ? iov_slice(c->iov, c->n_out, BLK_HEADER, len, s->data)
                   : iov_slice(virtq_in(c), c->n_in, 0, len, s->data),
        .off = h->sector * DISK_SECTOR,
        .len = len,
    };
    s->len = write ? 1 : (uint32_t)c->in_len;
    rate_take(&b->bytes, len);
    if (write)
        b->written_bytes += len;
    else
        b->read_bytes += len;
    return 1;
}

/* The request itself has paid for one operation. A segment moves no data but that of its two ends,
 * which may cover blocks in part; the holes between them are work as well, so the price grows. */
static void blk_charge_zero(struct virtio_blk *b, const struct disk_range *range, size_t n)
{
    rate_take(&b->ops, n - 1);
    for (size_t i = 0; i < n; i++)
        rate_take(&b->bytes, MIN(range[i].len, BLK_ZERO_COST + range[i].len / BLK_ZERO_SHARE));
}

static int blk_zero(struct virtio_blk *b, bool discard, struct virtio_blk_slot *s)
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
            !blk_range_ok(b->worker->disk->size, range[i].sector, bytes))
            return -EINVAL;
        /* Only "unmap" exists, and only for write-zeroes; the rest must be refused as unsupported
         * (virtio 1.2, 5.2.6.2). */
        if ((range[i].flags & ~1u) != 0 || (discard && range[i].flags != 0))
            return -EOPNOTSUPP;
        s->range[i] = (struct disk_range){range[i].sector * DISK_SECTOR, bytes};
    }
    s->job = (struct disk_job){
        .op = discard ? DISK_DISCARD : DISK_ZERO, .range = s->range, .n = count};
    blk_charge_zero(b, s->range, count);
    return 1;
}

static int blk_get_id(const struct virtio_blk *b)
{
    const struct virtq_chain *c = &b->dev.chain;
    if (c->in_len - 1 < sizeof(b->serial))
        return -EINVAL;
    (void)iov_write(virtq_in(c), c->n_in, 0, b->serial, sizeof(b->serial));
    return 0;
}

/* 1: there is a job to be done; otherwise it is done, or has failed. */
static int blk_judge(struct virtio_blk *b, const struct blk_header *h, struct virtio_blk_slot *s)
{
    switch (h->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        return blk_transfer(b, h, s);
    case VIRTIO_BLK_T_FLUSH:
        s->job = (struct disk_job){.op = DISK_FLUSH};
        return 1;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return blk_zero(b, h->type == VIRTIO_BLK_T_DISCARD, s);
    case VIRTIO_BLK_T_GET_ID:
        s->len = (uint32_t)b->dev.chain.in_len;
        return blk_get_id(b);
    default:
        return -EOPNOTSUPP;
    }
}

static void blk_answer(struct virtio_blk *b, struct virtio_blk_slot *s, int rv)
{
    uint8_t status = VIRTIO_BLK_S_OK;
    if (rv < 0)
        status = rv == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
    *s->status = status;
    s->used = false;
    /* The driver may trust this many bytes, so it never exceeds what was written. */
    virtq_push(&b->dev.q[0], s->head, rv == 0 ? s->len : 1);
}

/* A read that the page cache can answer at once. Only while the worker has nothing to do: the disk
 * is its otherwise. */
static bool blk_read_now(struct virtio_blk *b, struct disk_job *job)
{
    struct disk *d = b->worker->disk;
    if (job->op != DISK_READ || job->len > VIRTIO_BLK_NOW || d->ops->read_now == NULL ||
        !disk_worker_idle(b->worker))
        return false;
    job->result = d->ops->read_now(d, job->iov, job->n, job->off, job->len);
    return job->result != -EAGAIN;
}

static struct virtio_blk_slot *blk_free_slot(struct virtio_blk *b)
{
    /* The first one: the others may never be touched. */
    for (size_t i = 0; i < VIRTIO_BLK_SLOTS; i++) {
        if (!b->slot[i].used)
            return &b->slot[i];
    }
    return NULL;
}

static void blk_request(struct virtio_blk *b, struct virtio_blk_slot *s)
{
    const struct virtq_chain *c = &b->dev.chain;
    struct blk_header h;
    struct iovec last;
    if (c->out_len < BLK_HEADER || c->in_len < 1) {
        virtio_broken(&b->dev);
        return;
    }
    (void)iov_read(c->iov, c->n_out, 0, &h, sizeof(h));
    /* The last writable byte, wherever the driver has put it. */
    (void)iov_slice(virtq_in(c), c->n_in, c->in_len - 1, 1, &last);
    s->status = last.iov_base;
    s->head = c->head;
    s->len = 1;
    rate_take(&b->ops, 1);
    b->requests++;
    int rv = blk_judge(b, &h, s);
    if (rv <= 0) {
        blk_answer(b, s, rv);
    } else if (blk_read_now(b, &s->job)) {
        blk_answer(b, s, s->job.result);
    } else {
        s->used = true;
        disk_worker_submit(b->worker, &s->job);
    }
}

static void blk_reap(struct virtio_blk *b)
{
    struct disk_job *job;
    while ((job = disk_worker_next_done(b->worker)) != NULL) {
        struct virtio_blk_slot *s = container_of(job, struct virtio_blk_slot, job);
        s->used = false;
        if (virtio_running(&b->dev))
            blk_answer(b, s, job->result);
    }
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
    struct virtio_blk_slot *s;
    uint32_t done = 0;
    blk_reap(b);
    do {
        while (done < VIRTIO_BLK_TURN && (s = blk_free_slot(b)) != NULL && !blk_throttled(b) &&
               virtio_pop(dev, queue) > 0) {
            blk_request(b, s);
            done++;
        }
        blk_reap(b);
        if (done == VIRTIO_BLK_TURN) {
            virtio_again(dev, queue);
            break;
        }
        /* Without a free slot the end of a job continues here. */
    } while (virtio_running(dev) && blk_free_slot(b) != NULL && !blk_throttled(b) &&
             virtq_arm(&dev->q[queue]));
    virtio_signal(dev, queue);
}

static void blk_reset(struct virtio_dev *dev)
{
    struct virtio_blk *b = container_of(dev, struct virtio_blk, dev);
    disk_worker_cancel(b->worker);
    for (size_t i = 0; i < VIRTIO_BLK_SLOTS; i++)
        b->slot[i].used = false;
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
    .reset = blk_reset,
};

void virtio_blk_init(struct virtio_blk *b, struct disk_worker *worker,
                     const struct virtio_blk_limits *limits, const struct virtio_blk_timer *timer,
                     struct mem *mem, const struct irq_line *irq)
{
    uint64_t now = timer->now != NULL ? timer->now(timer->ctx) : 0;
    virtio_init(&b->dev, &virtio_blk_ops, mem, irq);
    b->worker = worker;
    for (size_t i = 0; i < VIRTIO_BLK_SLOTS; i++)
        b->slot[i].used = false;
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
    else
        blk_reap(b);
}

void virtio_blk_settle(struct virtio_blk *b)
{
    blk_reap(b);
    virtio_signal(&b->dev, 0);
}
