/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.c - records in a table of pointers that wraps around.
 *
 * A record costs its bytes and RING_OVERHEAD. So a program that writes single bytes has fewer of
 * them kept, and every limit holds for the memory and not just for the bytes.
 */
#include "agent/process/ring.h"

#include <errno.h>
#include <string.h>

#define RING_CAP_MIN 8u

void ring_init(struct ring *r, size_t limit)
{
    *r = (struct ring){.first = 1, .next = 1, .limit = limit};
}

static size_t ring_cost(const struct ring_record *rec)
{
    return rec->len + RING_OVERHEAD;
}

bool ring_shed(struct ring *r)
{
    if (r->first == r->next)
        return false;
    struct ring_record **slot = &r->slots[r->first++ & (r->cap - 1)];
    r->charge -= *slot != NULL ? ring_cost(*slot) : 0;
    free(*slot);
    *slot = NULL;
    return true;
}

void ring_clear(struct ring *r)
{
    while (ring_shed(r))
        ;
    free(r->slots);
    r->slots = NULL;
    r->cap = 0;
}

static int ring_grow(struct ring *r)
{
    size_t cap = r->cap == 0 ? RING_CAP_MIN : r->cap * 2;
    struct ring_record **slots = calloc(cap, sizeof(struct ring_record *));
    if (slots == NULL)
        return -ENOMEM;
    for (uint64_t seq = r->first; seq < r->next; seq++)
        slots[seq & (cap - 1)] = r->slots[seq & (r->cap - 1)];
    free(r->slots);
    r->slots = slots;
    r->cap = cap;
    return 0;
}

/* Readers must not take what follows for a continuation, so the lost record gets a number, and
 * nothing before it is kept. */
static int ring_lose(struct ring *r)
{
    ring_clear(r);
    r->first = ++r->next;
    return -ENOMEM;
}

int ring_append(struct ring *r, enum wire_stream stream, const void *data, size_t len)
{
    struct ring_record *rec = malloc(sizeof(*rec) + len);
    if (rec == NULL)
        return ring_lose(r);
    *rec = (struct ring_record){.start = r->total, .len = (uint32_t)len, .stream = stream};
    memcpy(rec->data, data, len);
    while (r->charge + ring_cost(rec) > r->limit && ring_shed(r))
        ;
    if (r->next - r->first == r->cap && ring_grow(r) < 0) {
        free(rec);
        return ring_lose(r);
    }
    r->slots[r->next++ & (r->cap - 1)] = rec;
    r->charge += ring_cost(rec);
    r->total += ring_cost(rec);
    return 0;
}

const struct ring_record *ring_get(const struct ring *r, uint64_t seq)
{
    return seq >= r->first && seq < r->next ? r->slots[seq & (r->cap - 1)] : NULL;
}

uint64_t ring_unread(const struct ring *r, uint64_t seq)
{
    const struct ring_record *rec = ring_get(r, MAX(seq, r->first));
    return rec != NULL ? r->total - rec->start : 0;
}
