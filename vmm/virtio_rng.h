/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_rng.h - entropy from the host kernel, at most 64 KiB a request. */
#ifndef CORRAL_VMM_VIRTIO_RNG_H
#define CORRAL_VMM_VIRTIO_RNG_H

#include "virtio.h"

#define VIRTIO_RNG_MAX_REQUEST 65536u

struct virtio_rng {
    struct virtio_dev dev;
};

void virtio_rng_init(struct virtio_rng *r, struct mem *mem, const struct irq_line *irq);

#endif
