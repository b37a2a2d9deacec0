/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - address ranges to device callbacks; one bus for memory-mapped I/O, one for ports.
 *
 * An access reaches a callback with an offset inside its range and 1, 2, 4 or 8 bytes that lie
 * entirely inside it. Everything else reads as all ones and writes into the void.
 */
#ifndef CORRAL_VMM_BUS_H
#define CORRAL_VMM_BUS_H

#include "base/base.h"

#define BUS_MAX_RANGES 16

struct bus_range {
    uint64_t base, len;
    void (*read)(void *ctx, uint64_t offset, void *data, uint32_t len);
    void (*write)(void *ctx, uint64_t offset, const void *data, uint32_t len);
    void *ctx;
};

struct bus {
    struct bus_range range[BUS_MAX_RANGES];
    size_t count;
};

/* 0, or -EEXIST when the range meets another, -ENOSPC when the table is full. */
int bus_add(struct bus *b, const struct bus_range *range);
void bus_read(const struct bus *b, uint64_t addr, void *data, uint32_t len);
void bus_write(const struct bus *b, uint64_t addr, const void *data, uint32_t len);

#endif
