/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.h - gives the guest's free memory back to the host.
 *
 * Free page reporting is the main way: the guest names free blocks, they are dropped, and the
 * guest gets them back as zeros when it touches them. The classic balloon (a target size set by
 * the host) works beside it. The device promises that pages read as zeros, so a guest that zeroes
 * what it frees may report them.
 */
#ifndef CORRAL_VMM_VIRTIO_BALLOON_H
#define CORRAL_VMM_VIRTIO_BALLOON_H

#include "virtio.h"

struct virtio_balloon {
    struct virtio_dev dev;
    uint32_t target, actual; /* pages of 4 KiB */
    uint32_t poison;         /* what the guest expects in reported pages */
    uint64_t reclaimed;      /* bytes since start */
};

void virtio_balloon_init(struct virtio_balloon *b, struct mem *mem, const struct irq_line *irq);
void virtio_balloon_set_target(struct virtio_balloon *b, uint32_t pages);

/* Beside what virtio_mmio_save writes of every device. */
void virtio_balloon_save(const struct virtio_balloon *b, struct buf *out);
int virtio_balloon_load(struct virtio_balloon *b, struct cursor *c);

#endif
