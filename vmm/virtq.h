/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq.h - the device's side of a split virtqueue in hostile memory.
 *
 * The configuration is checked once, when the queue is made ready, and cannot change until it is
 * disabled again. Each descriptor is copied out of guest memory exactly once and the copy is
 * judged. A chain is at most as long as the queue, so a loop ends; any violation makes virtq_pop
 * fail, and the device stops serving its driver.
 */
#ifndef CORRAL_VMM_VIRTQ_H
#define CORRAL_VMM_VIRTQ_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "mem.h"

#define VIRTQ_MAX_SIZE 256u

struct virtq {
    /* Written by the driver through the transport while not ready. */
    uint16_t size;
    uint64_t desc_gpa, avail_gpa, used_gpa;

    bool ready;
    bool event_idx; /* VIRTIO_RING_F_EVENT_IDX was negotiated */
    const struct mem *mem;
    void *desc, *avail,
        *used;           /* in guest memory: two words per descriptor, vring_avail, vring_used */
    uint16_t last_avail; /* next entry of the available ring to take */
    uint16_t used_idx;   /* next entry of the used ring to fill */
    uint16_t signalled;  /* used_idx at the last interrupt decision */
};

/* A request: what the driver wrote for us, then what we may write. */
struct virtq_chain {
    uint16_t head;
    uint16_t n_out, n_in;   /* elements of iov: first the readable, then the writable ones */
    size_t out_len, in_len; /* bytes */
    struct iovec iov[VIRTQ_MAX_SIZE];
};

static inline const struct iovec *virtq_in(const struct virtq_chain *c)
{
    return c->iov + c->n_out;
}

/* Freezes the configuration. -EINVAL when size, alignment or addresses are not acceptable. */
int virtq_enable(struct virtq *q, const struct mem *mem, bool event_idx);
void virtq_reset(struct virtq *q);

/* 1 and the next chain, 0 when there is none, -EPROTO when the driver broke the rules. */
int virtq_pop(struct virtq *q, struct virtq_chain *c);
/* Takes the last popped chain back, which was not pushed. */
void virtq_unpop(struct virtq *q);
/* How many chains the driver has ever made available, modulo 2^16. The queue is ready. */
uint16_t virtq_available(const struct virtq *q);
/* Asks for a notification of the next chain beyond those that wait already; returns
 * virtq_available(). For queues whose chains are kept for later. */
uint16_t virtq_arm_next(struct virtq *q);
/* Hands a chain back with `len` bytes written into it. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t len);
/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtq_wants_irq(struct virtq *q);
/* Asks the driver to notify about the next chain. True when one is there already. */
bool virtq_arm(struct virtq *q);

void virtq_save(const struct virtq *q, struct buf *out);
/* Everything is checked again: the file may be damaged. */
int virtq_load(struct virtq *q, struct cursor *c, const struct mem *mem, bool event_idx);

#endif
