/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver. The input is a program: register accesses of the transport in front of the
 * block, entropy or balloon device, and writes into guest memory, where the rings are.
 */
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/mman.h>

#include "disk_cow.h"
#include "virtio_balloon.h"
#include "virtio_blk.h"
#include "virtio_mmio.h"
#include "virtio_rng.h"

#define MEMORY (32ull << 20)
#define WINDOW 0x8000u /* memory that the input can reach, and that is cleared between runs */
#define DISK   (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mem mem;
static int base_fd = -1;

static void start(struct virtio_mmio *t, bool event_idx)
{
    static const uint32_t steps[][2] = {
        {VIRTIO_MMIO_STATUS, 3},
        {VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1},
        {VIRTIO_MMIO_DRIVER_FEATURES, 1},
        {VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        virtio_mmio_write(t, steps[i][0], &steps[i][1], 4);
    uint32_t v = event_idx ? 1u << 29 : 0;
    virtio_mmio_write(t, VIRTIO_MMIO_DRIVER_FEATURES, &v, 4);
    v = 11;
    virtio_mmio_write(t, VIRTIO_MMIO_STATUS, &v, 4);
    for (uint32_t q = 0; q < t->dev->ops->queues; q++) {
        const uint32_t queue[][2] = {
            {VIRTIO_MMIO_QUEUE_SEL, q},
            {VIRTIO_MMIO_QUEUE_NUM, 16},
            {VIRTIO_MMIO_QUEUE_DESC_LOW, q * 0x1000},
            {VIRTIO_MMIO_QUEUE_AVAIL_LOW, q * 0x1000 + 0x400},
            {VIRTIO_MMIO_QUEUE_USED_LOW, q * 0x1000 + 0x800},
            {VIRTIO_MMIO_QUEUE_READY, 1},
        };
        for (size_t i = 0; i < ARRAY_SIZE(queue); i++)
            virtio_mmio_write(t, queue[i][0], &queue[i][1], 4);
    }
    v = 15;
    virtio_mmio_write(t, VIRTIO_MMIO_STATUS, &v, 4);
}

static void run(struct virtio_mmio *t, struct cursor *c)
{
    while (cursor_ok(c) && c->left > 0) {
        uint8_t op = cursor_u8(c), len = 0;
        uint32_t reg = cursor_u8(c) * 4u, v;
        switch (op & 3) {
        case 0:
            virtio_mmio_read(t, reg, &v, 4);
            break;
        case 1:
            v = cursor_u32(c);
            virtio_mmio_write(t, reg, &v, 4);
            break;
        case 2:
            len = cursor_u8(c);
            const uint8_t *p = cursor_bytes(c, len);
            uint32_t at = (reg << 4 | op >> 4) % (WINDOW - 256);
            if (p != NULL)
                memcpy(mem.base + at, p, len);
            break;
        default:
            v = op >> 2 & 7;
            virtio_mmio_write(t, VIRTIO_MMIO_QUEUE_NOTIFY, &v, 4);
            virtio_run_again(t->dev);
        }
    }
}

static struct disk *make_disk(void)
{
    struct disk *d = NULL;
    int over = memfd_create("over", MFD_CLOEXEC);
    if (base_fd < 0) {
        base_fd = memfd_create("base", MFD_CLOEXEC);
        if (ftruncate(base_fd, DISK) < 0)
            abort();
    }
    if (disk_cow_format(base_fd, over, DISK) < 0 || disk_cow_open(dup(base_fd), over, &d) < 0)
        abort();
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct virtio_blk blk;
    struct disk_worker worker;
    static struct virtio_rng rng;
    static struct virtio_balloon balloon;
    const struct virtio_blk_limits limits = {0, 0};
    const struct virtio_blk_timer timer = {NULL, NULL, NULL};
    const struct irq_line irq = {NULL, NULL};
    if (size < 2)
        return 0;
    if (mem.base == NULL && mem_init_new(&mem, MEMORY) < 0)
        abort();
    memset(mem.base, 0, WINDOW);
    struct disk *d = NULL;
    struct virtio_mmio t = {.dev = &rng.dev};
    if (data[0] % 3 == 0) {
        d = make_disk();
        if (disk_worker_init(&worker, d) < 0)
            abort();
        virtio_blk_init(&blk, &worker, &limits, &timer, &mem, &irq);
        t.dev = &blk.dev;
    } else if (data[0] % 3 == 1) {
        virtio_balloon_init(&balloon, &mem, &irq);
        t.dev = &balloon.dev;
    } else {
        virtio_rng_init(&rng, &mem, &irq);
    }
    if (data[1] & 1)
        start(&t, (data[1] & 2) != 0);
    struct cursor c = cursor_on(data + 2, size - 2);
    run(&t, &c);
    /* Whatever state that led to can be saved and loaded. */
    cleanup_buf struct buf b = {0};
    virtio_mmio_save(&t, &b);
    struct cursor saved = cursor_on(b.data, b.len);
    if (virtio_mmio_load(&t, &saved) < 0 && (t.dev->status & 0x80) == 0)
        abort();
    if (d != NULL)
        disk_worker_done(&worker);
    disk_close(d);
    return 0;
}
