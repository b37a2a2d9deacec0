/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mmio.h - the virtio-mmio register block, version 2, in front of any virtio device.
 *
 * Order the driver must keep: reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK, queues, DRIVER_OK.
 *
 *   register          writable when
 *   features          DRIVER set, FEATURES_OK not
 *   queue size, rings FEATURES_OK set, DRIVER_OK not, this queue not ready
 *   queue ready       FEATURES_OK set, DRIVER_OK not
 *   queue notify      DRIVER_OK set
 *
 * A write at the wrong time, or of a status that skips a step, has no effect.
 */
#ifndef CORRAL_VMM_VIRTIO_MMIO_H
#define CORRAL_VMM_VIRTIO_MMIO_H

#include "virtio.h"

#define VIRTIO_MMIO_SIZE 0x1000u

struct virtio_mmio {
    struct virtio_dev *dev;
    uint32_t device_features_sel, driver_features_sel, queue_sel;
};

void virtio_mmio_read(struct virtio_mmio *t, uint64_t offset, void *data, uint32_t len);
void virtio_mmio_write(struct virtio_mmio *t, uint64_t offset, const void *data, uint32_t len);

void virtio_mmio_save(const struct virtio_mmio *t, struct buf *out);
int virtio_mmio_load(struct virtio_mmio *t, struct cursor *c);

#endif
