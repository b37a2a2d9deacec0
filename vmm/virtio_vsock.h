/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_vsock.h - the queues of the vsock device; connections live in vsock_mux.h.
 *
 * Packets for the guest are made only when it has posted a buffer for them, straight from the host
 * socket into guest memory.
 */
#ifndef CORRAL_VMM_VIRTIO_VSOCK_H
#define CORRAL_VMM_VIRTIO_VSOCK_H

#include "virtio.h"
#include "vsock_mux.h"

#define VIRTIO_VSOCK_GUEST_CID 3u

struct virtio_vsock {
    struct virtio_dev dev;
    struct vsock_mux mux;
    bool reset_due;       /* the transport reset event waits for a buffer */
    bool reset_unread;    /* the guest has not handled the event yet */
    uint16_t reset_until; /* it has once this count of event buffers is exceeded */
};

/* Arguments as for vsock_mux_init. */
int virtio_vsock_init(struct virtio_vsock *v, struct loop *loop, int listen_fd, const char *path,
                      struct mem *mem, const struct irq_line *irq);
/* Tells the guest that all its connections are gone (after a restore). */
void virtio_vsock_transport_reset(struct virtio_vsock *v);

/* Beside what virtio_mmio_save writes of every device: connections end with a restore, and only the
 * ports they have used are remembered. */
void virtio_vsock_save(const struct virtio_vsock *v, struct buf *out);
int virtio_vsock_load(struct virtio_vsock *v, struct cursor *c);

#endif
