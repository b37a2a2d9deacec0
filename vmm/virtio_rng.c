/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_rng.c - the entropy device (virtio 1.2, 5.4).
 *
 * The host's getrandom, straight into guest memory. It serves the guest's boot and its own pool;
 * what makes clones differ is the generation id (snap_new_generation in snapshot.c), because a
 * clone's pool is seeded already and would not ask.
 */
#include "virtio_rng.h"

#include <sys/random.h>

#define RNG_TURN 16u

/* Returns the bytes filled in. */
static uint32_t rng_fill(const struct virtq_chain *c)
{
    const struct iovec *iov = virtq_in(c);
    size_t done = 0;
    for (size_t i = 0; i < c->n_in && done < VIRTIO_RNG_MAX_REQUEST; i++) {
        size_t want = MIN(iov[i].iov_len, VIRTIO_RNG_MAX_REQUEST - done);
        ssize_t got = getrandom(iov[i].iov_base, want, 0);
        if (got < 0)
            break;
        done += (size_t)got;
        if ((size_t)got < want)
            break;
    }
    return (uint32_t)done;
}

static void rng_notify(struct virtio_dev *dev, uint32_t queue)
{
    uint32_t done = 0;
    do {
        while (done < RNG_TURN && virtio_pop(dev, queue) > 0) {
            virtq_push(&dev->q[queue], dev->chain.head, rng_fill(&dev->chain));
            done++;
        }
        if (done == RNG_TURN) {
            virtio_again(dev, queue);
            break;
        }
    } while (virtio_running(dev) && virtq_arm(&dev->q[queue]));
    virtio_signal(dev, queue);
}

static const struct virtio_ops virtio_rng_ops = {
    .name = "rng",
    .id = VIRTIO_ID_RNG_,
    .queues = 1,
    .notify = rng_notify,
};

void virtio_rng_init(struct virtio_rng *r, struct mem *mem, const struct irq_line *irq)
{
    virtio_init(&r->dev, &virtio_rng_ops, mem, irq);
}
