/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq.c - the split virtqueue (virtio 1.2, 2.7), as the device sees it.
 *
 * Memory order. The driver fills descriptors and ring, then releases its index: we acquire the
 * index and then read them. We fill the used ring, then release our index. Before either side
 * decides to sleep it must see what the other wrote last, which needs a full barrier on both
 * sides between the store of one's own wish and the load of the other's index (virtq_wants_irq,
 * virtq_arm).
 *
 * With EVENT_IDX each side names the entry that is worth waking it for (2.7.7, 2.7.10): far fewer
 * interrupts and exits than one for each request.
 *
 * Everything the driver wrote is hostile: an index, a length, a `next` may be anything, and may
 * change between two loads. No value is loaded twice.
 */
#include "virtq.h"

#include <errno.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian");

/*@ predicate virtq_ok(struct virtq *q) = \valid(q) &&
  @     (q->ready ==> 0 < q->size <= VIRTQ_MAX_SIZE && \valid_read(q->mem) &&
  @                   in_ram(q->mem, q->desc, 16 * q->size) &&
  @                   in_ram(q->mem, q->avail, 6 + 2 * q->size) &&
  @                   in_ram(q->mem, q->used, 6 + 8 * q->size));
  @
  @ predicate chain_ok(struct virtq_chain *c, struct mem *m) =
  @     c->n_out + c->n_in <= VIRTQ_MAX_SIZE &&
  @     c->out_len + c->in_len <= (c->n_out + c->n_in) * 0xffffffff &&
  @     \forall integer k; 0 <= k < c->n_out + c->n_in ==>
  @         c->iov[k].iov_len > 0 && in_ram(m, c->iov[k].iov_base, c->iov[k].iov_len);
  @*/

static struct vring_avail *virtq_avail(const struct virtq *q)
{
    return q->avail;
}

static struct vring_used *virtq_used(const struct virtq *q)
{
    return q->used;
}

/*
 * The loads from the rings that virtq_pop makes. For the proofs (test/proof) each gives any value
 * at any time: a driver may write whatever it likes between two of them.
 */

/*@ requires i < q->size;
  @ assigns \nothing;
  @*/
static uint64_t virtq_load_desc(const struct virtq *q, uint16_t i, unsigned int word)
{
    return __atomic_load_n(&((const uint64_t *)q->desc)[2 * (size_t)i + word], __ATOMIC_RELAXED);
}

/*@ requires slot < q->size;
  @ assigns \nothing;
  @*/
static uint16_t virtq_load_avail(const struct virtq *q, uint16_t slot)
{
    return __atomic_load_n(&virtq_avail(q)->ring[slot], __ATOMIC_RELAXED);
}

/* Pairs with the driver's release of the index after it filled ring and descriptors. */
/*@ requires \valid_read(q);
  @ assigns \nothing;
  @*/
static uint16_t virtq_load_idx(const struct virtq *q)
{
    return __atomic_load_n(&virtq_avail(q)->idx, __ATOMIC_ACQUIRE);
}

/*@ requires \valid(q) && \valid_read(mem) && \separated(q, mem);
  @ assigns *q;
  @ ensures ok: \result == 0 ==> virtq_ok(q) && q->ready;
  @ ensures power: \result == 0 ==> (q->size & (q->size - 1)) == 0;
  @ ensures refused: \result != 0 ==> q->ready == \old(q->ready) && q->desc == \old(q->desc);
  @*/
int virtq_enable(struct virtq *q, const struct mem *mem, bool event_idx)
{
    size_t n = q->size;
    if (n == 0 || n > VIRTQ_MAX_SIZE || (n & (n - 1)) != 0)
        return -EINVAL;
    if (q->desc_gpa % 16 != 0 || q->avail_gpa % 2 != 0 || q->used_gpa % 4 != 0)
        return -EINVAL;
    /* Both rings end in two bytes for the event index. */
    void *desc = mem_at(mem, q->desc_gpa, n * sizeof(struct vring_desc));
    void *avail = mem_at(mem, q->avail_gpa, sizeof(struct vring_avail) + 2 * n + 2);
    void *used = mem_at(mem, q->used_gpa,
                        sizeof(struct vring_used) + n * sizeof(struct vring_used_elem) + 2);
    if (desc == NULL || avail == NULL || used == NULL)
        return -EINVAL;
    q->mem = mem;
    q->desc = desc;
    q->avail = avail;
    q->used = used;
    q->event_idx = event_idx;
    q->last_avail = q->used_idx = q->signalled = 0;
    q->ready = true;
    return 0;
}

void virtq_reset(struct virtq *q)
{
    *q = (struct virtq){0};
}

/* One copy, in two loads: the driver may rewrite the descriptor at any time. */
/*@ requires \valid_read(q) && i < q->size;
  @ assigns \nothing;
  @*/
static struct vring_desc virtq_copy_desc(const struct virtq *q, uint16_t i)
{
    uint64_t addr = virtq_load_desc(q, i, 0);
    uint64_t rest = virtq_load_desc(q, i, 1);
    return (struct vring_desc){
        .addr = addr,
        .len = (uint32_t)rest,
        .flags = (uint16_t)(rest >> 32),
        .next = (uint16_t)(rest >> 48),
    };
}

/*@ requires \valid_read(q) && \valid_read(q->mem) && \valid(c) && \valid_read(d);
  @ requires \separated(c, q, q->mem, d);
  @ requires chain_ok(c, q->mem) && c->n_out + c->n_in < VIRTQ_MAX_SIZE;
  @ assigns c->n_out, c->n_in, c->out_len, c->in_len, c->iov[0 .. VIRTQ_MAX_SIZE - 1];
  @ ensures ok: chain_ok(c, q->mem);
  @ ensures one: c->n_out + c->n_in <= \old(c->n_out + c->n_in) + 1;
  @ ensures order: \result == 0 && \old(c->in_len) > 0 ==> c->n_out == \old(c->n_out);
  @*/
static int virtq_add_segment(const struct virtq *q, struct virtq_chain *c,
                             const struct vring_desc *d)
{
    bool in = (d->flags & VRING_DESC_F_WRITE) != 0;
    if ((d->flags & ~(VRING_DESC_F_NEXT | VRING_DESC_F_WRITE)) != 0)
        return -EPROTO;
    if (!in && c->in_len > 0)
        return -EPROTO; /* readable after writable */
    if (d->len == 0)
        return 0;
    void *p = mem_at(q->mem, d->addr, d->len);
    if (p == NULL)
        return -EPROTO;
    c->iov[c->n_out + c->n_in] = (struct iovec){.iov_base = p, .iov_len = d->len};
    if (in) {
        c->n_in++;
        c->in_len += d->len;
    } else {
        c->n_out++;
        c->out_len += d->len;
    }
    return 0;
}

/*@ requires virtq_ok(q) && \valid(c) && \separated(c, q, q->mem);
  @ assigns *c, q->last_avail;
  @ ensures chain: \result == 1 ==> chain_ok(c, q->mem) && c->head < q->size;
  @ ensures taken: \result == 1 ==> q->last_avail == (uint16_t)(\old(q->last_avail) + 1);
  @ ensures left: \result != 1 ==> q->last_avail == \old(q->last_avail);
  @*/
int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
    if (!q->ready)
        return 0;
    uint16_t avail = virtq_load_idx(q);
    uint16_t waiting = (uint16_t)(avail - q->last_avail);
    if (waiting == 0)
        return 0;
    /* The driver cannot have more chains waiting than the ring has entries. */
    if (waiting > q->size)
        return -EPROTO;
    uint16_t slot = q->last_avail % q->size;
    uint16_t i = virtq_load_avail(q, slot);
    c->head = i;
    c->n_out = c->n_in = 0;
    c->out_len = c->in_len = 0;
    /*@ loop invariant 0 <= n <= q->size;
      @ loop invariant c->n_out + c->n_in <= n;
      @ loop invariant chain_ok(c, q->mem);
      @ loop invariant n > 0 ==> c->head < q->size;
      @ loop invariant n == 0 ==> c->head == i;
      @ loop assigns n, i, c->n_out, c->n_in, c->out_len, c->in_len,
      @     c->iov[0 .. VIRTQ_MAX_SIZE - 1];
      @ loop variant q->size - n;
      @*/
    for (uint16_t n = 0;; n++) {
        /* A chain is at most as long as the queue, so a circle of descriptors ends here. */
        if (i >= q->size || n == q->size)
            return -EPROTO;
        struct vring_desc d = virtq_copy_desc(q, i);
        int rv = virtq_add_segment(q, c, &d);
        if (rv < 0)
            return rv;
        if ((d.flags & VRING_DESC_F_NEXT) == 0)
            break;
        i = d.next;
    }
    q->last_avail++;
    return 1;
}

void virtq_unpop(struct virtq *q)
{
    q->last_avail--;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t len)
{
    /* The element is only written, never read back: what the driver does to it is of no account. */
    struct vring_used_elem *e = &virtq_used(q)->ring[q->used_idx & (q->size - 1)];
    e->id = head;
    e->len = len;
    q->used_idx++;
    /* Pairs with the driver's acquire of the index: element and buffers come first. */
    __atomic_store_n(&virtq_used(q)->idx, q->used_idx, __ATOMIC_RELEASE);
}

bool virtq_wants_irq(struct virtq *q)
{
    uint16_t old = q->signalled;
    if (q->used_idx == old)
        return false;
    /* The index must be visible before the driver's wish is read, or both sides may sleep. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    q->signalled = q->used_idx;
    if (!q->event_idx)
        return (__atomic_load_n(&virtq_avail(q)->flags, __ATOMIC_RELAXED) &
                VRING_AVAIL_F_NO_INTERRUPT) == 0;
    uint16_t event = __atomic_load_n(&virtq_avail(q)->ring[q->size], __ATOMIC_RELAXED);
    return (uint16_t)(q->used_idx - event - 1) < (uint16_t)(q->used_idx - old);
}

bool virtq_arm(struct virtq *q)
{
    if (!q->ready)
        return false;
    if (q->event_idx) {
        uint16_t *event = (uint16_t *)(void *)&virtq_used(q)->ring[q->size];
        __atomic_store_n(event, q->last_avail, __ATOMIC_RELAXED);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&virtq_avail(q)->idx, __ATOMIC_ACQUIRE) != q->last_avail;
}

uint16_t virtq_available(const struct virtq *q)
{
    return virtq_load_idx(q);
}

uint16_t virtq_arm_next(struct virtq *q)
{
    uint16_t end = virtq_available(q);
    if (q->event_idx) {
        uint16_t *event = (uint16_t *)(void *)&virtq_used(q)->ring[q->size];
        __atomic_store_n(event, end, __ATOMIC_RELAXED);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return end;
}

void virtq_save(const struct virtq *q, struct buf *out)
{
    (void)buf_u16(out, q->size);
    (void)buf_u16(out, q->ready);
    (void)buf_u16(out, q->last_avail);
    (void)buf_u16(out, q->used_idx);
    (void)buf_u64(out, q->desc_gpa);
    (void)buf_u64(out, q->avail_gpa);
    (void)buf_u64(out, q->used_gpa);
}

int virtq_load(struct virtq *q, struct cursor *c, const struct mem *mem, bool event_idx)
{
    virtq_reset(q);
    q->size = cursor_u16(c);
    uint16_t ready = cursor_u16(c);
    uint16_t last_avail = cursor_u16(c), used_idx = cursor_u16(c);
    q->desc_gpa = cursor_u64(c);
    q->avail_gpa = cursor_u64(c);
    q->used_gpa = cursor_u64(c);
    if (!cursor_ok(c) || ready > 1)
        return -EINVAL;
    if (!ready)
        return 0;
    int rv = virtq_enable(q, mem, event_idx);
    if (rv < 0)
        return rv;
    /* Any value will do: virtq_pop compares it with the driver's index, as always. */
    q->last_avail = last_avail;
    q->used_idx = q->signalled = used_idx;
    return 0;
}
