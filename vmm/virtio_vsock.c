/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_vsock.c - the queues of the socket device (virtio 1.2, 5.10).
 *
 * To the guest: the mux says that it has something (`pending`), which asks for a turn; vsock_fill
 * pops a buffer, lets the mux fill it, and hands it back, until one of the two has no more; a
 * connection with many bytes fills several by one system call. A packet is made only when there is
 * a buffer for it, so none is ever queued. From the guest:
 * vsock_drain takes every packet; the credit that connections give (vsock_conn.h) bounds what has
 * to be kept.
 *
 * After a restore the guest is told that its connections are gone: an event in the third queue
 * (5.10.6, device events). Until it has handled the event nothing else is sent to it, see
 * vsock_held.
 *
 * Only the loop's thread comes here, except for reset, activate and reads of the configuration,
 * which run on a vCPU's.
 */
#include "virtio_vsock.h"

#include <errno.h>
#include <string.h>

#include "iov.h"

#define VSOCK_RX    0u
#define VSOCK_TX    1u
#define VSOCK_EVENT 2u
#define VSOCK_TURN  64u /* packets per turn of the loop and direction, or a burst more */
#define VSOCK_BURST 16u /* packets for the guest by one read: 60 KiB of Linux's buffers */

_Static_assert(sizeof(struct virtio_vsock_hdr) == 44, "packet header layout");

static void vsock_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
    /* Every guest has the same one: each is alone with its own VMM, so clones need no other. */
    uint64_t cid = VIRTIO_VSOCK_GUEST_CID;
    (void)dev;
    virtio_config_copy(&cid, sizeof(cid), offset, data, len);
}

/* The payload is there already. */
static void vsock_push(struct virtio_vsock *v, uint16_t head, const struct iovec *in, size_t n,
                       struct virtio_vsock_hdr *h)
{
    h->src_cid = VSOCK_HOST_CID;
    h->dst_cid = VIRTIO_VSOCK_GUEST_CID;
    (void)iov_write(in, n, 0, h, sizeof(*h));
    virtq_push(&v->dev.q[VSOCK_RX], head, (uint32_t)sizeof(*h) + h->len);
}

/* One packet into the chain just popped. False: nothing to send, the chain was put back. */
static bool vsock_fill_one(struct virtio_vsock *v)
{
    struct virtq_chain *c = &v->dev.chain;
    struct virtio_vsock_hdr h;
    struct iovec room[VIRTQ_MAX_SIZE];
    if (c->in_len <= sizeof(h)) {
        virtio_broken(&v->dev);
        return false;
    }
    size_t room_len = MIN(c->in_len - sizeof(h), (size_t)VSOCK_MAX_DATA);
    size_t n = iov_slice(virtq_in(c), c->n_in, sizeof(h), room_len, room);
    if (!vsock_mux_next(&v->mux, &h, room, n)) {
        virtq_unpop(&v->dev.q[VSOCK_RX]);
        return false;
    }
    vsock_push(v, c->head, virtq_in(c), c->n_in, &h);
    return true;
}

/* Buffers of the driver for one read of a client's bytes. */
struct vsock_burst {
    size_t n;
    uint16_t head[VSOCK_BURST];
    struct iovec in[VSOCK_BURST];   /* the chain's one buffer, whole */
    struct iovec room[VSOCK_BURST]; /* behind its header */
};

/* Only chains of one buffer, as Linux makes them; others are filled one at a time. */
static void vsock_pop_burst(struct virtio_vsock *v, struct vsock_burst *b)
{
    const struct virtq_chain *c = &v->dev.chain;
    for (b->n = 0; b->n < VSOCK_BURST && virtio_pop(&v->dev, VSOCK_RX) > 0; b->n++) {
        if (c->n_in != 1 || c->in_len <= sizeof(struct virtio_vsock_hdr)) {
            virtq_unpop(&v->dev.q[VSOCK_RX]);
            return;
        }
        b->head[b->n] = c->head;
        b->in[b->n] = *virtq_in(c);
        (void)iov_slice(&b->in[b->n], 1, sizeof(struct virtio_vsock_hdr), VSOCK_MAX_DATA,
                        &b->room[b->n]);
    }
}

/* Several packets of one connection that has many bytes, by one system call. How many it was. */
static uint32_t vsock_fill_burst(struct virtio_vsock *v)
{
    struct vsock_burst b;
    struct virtio_vsock_hdr h;
    vsock_pop_burst(v, &b);
    bool ok = b.n > 0 && virtio_running(&v->dev);
    size_t left = ok ? vsock_mux_burst(&v->mux, &h, b.room, b.n) : 0;
    uint32_t done = 0;
    for (; left > 0; done++) {
        h.len = (uint32_t)MIN(left, b.room[done].iov_len);
        left -= h.len;
        vsock_push(v, b.head[done], &b.in[done], 1, &h);
    }
    for (size_t i = done; i < b.n; i++)
        virtq_unpop(&v->dev.q[VSOCK_RX]);
    return done;
}

/* The guest ends all its connections when it handles the reset event, those too that it accepted
 * from us in the meantime. It gives the event's buffer back when it has done so. */
static bool vsock_held(struct virtio_vsock *v)
{
    if (v->reset_unread && virtq_available(&v->dev.q[VSOCK_EVENT]) != v->reset_until)
        v->reset_unread = false;
    return v->reset_unread;
}

static void vsock_fill(struct virtio_vsock *v)
{
    struct virtio_dev *dev = &v->dev;
    uint32_t done = 0;
    bool more = !virtio_running(dev) || !vsock_held(v);
    while (more && virtio_running(dev) && vsock_mux_has_packet(&v->mux) && done < VSOCK_TURN) {
        uint32_t burst = vsock_mux_is_bulk(&v->mux) ? vsock_fill_burst(v) : 0;
        if (burst > 0) {
            done += burst;
            continue;
        }
        if (virtio_pop(dev, VSOCK_RX) == 0) {
            more = virtio_running(dev) && virtq_arm(&dev->q[VSOCK_RX]);
            continue;
        }
        more = vsock_fill_one(v);
        done++;
    }
    /* Set by the mux while it worked; only a turn cut short needs another one. */
    dev->again &= ~(1u << VSOCK_RX);
    if (done >= VSOCK_TURN && more)
        virtio_again(dev, VSOCK_RX);
    virtio_signal(dev, VSOCK_RX);
}

static void vsock_receive_one(struct virtio_vsock *v)
{
    const struct virtq_chain *c = &v->dev.chain;
    struct virtio_vsock_hdr h;
    struct iovec data[VIRTQ_MAX_SIZE];
    if (c->out_len < sizeof(h)) {
        virtio_broken(&v->dev);
        return;
    }
    (void)iov_read(c->iov, c->n_out, 0, &h, sizeof(h));
    if (h.len > c->out_len - sizeof(h)) {
        virtio_broken(&v->dev);
        return;
    }
    size_t n = iov_slice(c->iov, c->n_out, sizeof(h), h.len, data);
    /* Others are dropped in silence: those addresses do not exist. */
    if (h.src_cid == VIRTIO_VSOCK_GUEST_CID && h.dst_cid == VSOCK_HOST_CID)
        vsock_mux_receive(&v->mux, &h, data, n);
    virtq_push(&v->dev.q[VSOCK_TX], c->head, 0);
}

static void vsock_drain(struct virtio_vsock *v)
{
    struct virtio_dev *dev = &v->dev;
    uint32_t done = 0;
    do {
        while (done < VSOCK_TURN && virtio_pop(dev, VSOCK_TX) > 0) {
            vsock_receive_one(v);
            done++;
        }
        if (done == VSOCK_TURN) {
            virtio_again(dev, VSOCK_TX);
            break;
        }
    } while (virtio_running(dev) && virtq_arm(&dev->q[VSOCK_TX]));
    virtio_signal(dev, VSOCK_TX);
}

static void vsock_event(struct virtio_vsock *v)
{
    struct virtio_dev *dev = &v->dev;
    struct virtio_vsock_event event = {.id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET};
    if (!v->reset_due || virtio_pop(dev, VSOCK_EVENT) == 0)
        return;
    size_t len = iov_write(virtq_in(&dev->chain), dev->chain.n_in, 0, &event, sizeof(event));
    virtq_push(&dev->q[VSOCK_EVENT], dev->chain.head, (uint32_t)len);
    v->reset_due = false;
    v->reset_unread = true;
    /* The driver must notify us when it gives the buffer back, or what is held waits for ever. */
    v->reset_until = virtq_arm_next(&dev->q[VSOCK_EVENT]);
    virtio_signal(dev, VSOCK_EVENT);
}

static void vsock_notify(struct virtio_dev *dev, uint32_t queue)
{
    struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);
    if (queue == VSOCK_EVENT)
        vsock_event(v);
    else if (queue == VSOCK_TX)
        vsock_drain(v);
    vsock_fill(v);
}

static void vsock_reset(struct virtio_dev *dev)
{
    struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);
    v->reset_due = v->reset_unread = false;
}

static void vsock_drop(struct virtio_dev *dev)
{
    struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);
    vsock_mux_reset(&v->mux);
}

static void vsock_activate(struct virtio_dev *dev)
{
    virtio_again(dev, VSOCK_RX); /* clients may have come before the driver */
}

static const struct virtio_ops virtio_vsock_ops = {
    .name = "vsock",
    .id = VIRTIO_ID_VSOCK_,
    .queues = 3,
    .config_read = vsock_config_read,
    .activate = vsock_activate,
    .notify = vsock_notify,
    .reset = vsock_reset,
    .drop = vsock_drop,
};

static void vsock_pending(void *ctx)
{
    struct virtio_vsock *v = ctx;
    virtio_again(&v->dev, VSOCK_RX);
}

int virtio_vsock_init(struct virtio_vsock *v, struct loop *loop, int listen_fd, const char *path,
                      struct mem *mem, const struct irq_line *irq)
{
    virtio_init(&v->dev, &virtio_vsock_ops, mem, irq);
    v->reset_due = v->reset_unread = false;
    return vsock_mux_init(&v->mux, loop, listen_fd, path, vsock_pending, v);
}

void virtio_vsock_transport_reset(struct virtio_vsock *v)
{
    vsock_mux_reset(&v->mux);
    v->reset_due = true;
    if (virtio_running(&v->dev))
        vsock_event(v);
}

void virtio_vsock_save(const struct virtio_vsock *v, struct buf *out)
{
    (void)buf_u32(out, v->mux.next_port);
}

int virtio_vsock_load(struct virtio_vsock *v, struct cursor *c)
{
    int rv = vsock_mux_set_next_port(&v->mux, cursor_u32(c));
    return rv == 0 && !cursor_end(c) ? -EINVAL : rv;
}
