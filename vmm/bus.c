/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.c - finds the device behind an address.
 *
 * A machine has less than BUS_MAX_RANGES ranges and an access costs an exit of the guest, which
 * is thousands of times what a walk over the table costs: so there is no tree and no cache.
 */
#include "bus.h"

#include <errno.h>
#include <string.h>

int bus_add(struct bus *b, const struct bus_range *range)
{
    if (b->count == BUS_MAX_RANGES)
        return -ENOSPC;
    for (size_t i = 0; i < b->count; i++) {
        const struct bus_range *r = &b->range[i];
        if (range->base < r->base + r->len && r->base < range->base + range->len)
            return -EEXIST;
    }
    b->range[b->count++] = *range;
    return 0;
}

static const struct bus_range *bus_find(const struct bus *b, uint64_t addr, uint32_t len)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct bus_range *r = &b->range[i];
        if (addr >= r->base && addr - r->base < r->len && len <= r->len - (addr - r->base))
            return r;
    }
    return NULL;
}

void bus_read(const struct bus *b, uint64_t addr, void *data, uint32_t len)
{
    const struct bus_range *r = bus_find(b, addr, len);
    memset(data, 0xff, len);
    if (r != NULL && r->read != NULL)
        r->read(r->ctx, addr - r->base, data, len);
}

void bus_write(const struct bus *b, uint64_t addr, const void *data, uint32_t len)
{
    const struct bus_range *r = bus_find(b, addr, len);
    if (r != NULL && r->write != NULL)
        r->write(r->ctx, addr - r->base, data, len);
}
