/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h - the output of a process: numbered records, of which the newest are kept.
 *
 * A record is what one read of a pipe or terminal gave. Numbers start at 1 and rise by 1. When the
 * bytes go beyond the limit the oldest records are dropped, so a reader that asks for a number
 * below `first` knows that there is a gap. A reader holds a number and never a pointer.
 *
 * The cost of a record is what it takes of the memory: its bytes and a fixed amount.
 */
#ifndef CORRAL_AGENT_PROCESS_RING_H
#define CORRAL_AGENT_PROCESS_RING_H

#include <stdbool.h>

#include "base/base.h"
#include "wire.h"

#define RING_OVERHEAD 64u /* cost of a record without bytes: its head, its slot, malloc()'s own */

struct ring_record {
    uint64_t start; /* cost of all records before it */
    uint32_t len;
    enum wire_stream stream;
    uint8_t data[];
};

struct ring {
    struct ring_record **slots; /* owned, each too; a number's slot is the number modulo `cap` */
    size_t cap;                 /* a power of two, or 0 */
    uint64_t first, next;       /* numbers: the oldest that is kept, the next to come */
    uint64_t total;             /* cost of all records that ever came */
    size_t charge;              /* cost of the records that are kept */
    size_t limit;               /* of `charge` */
};

void ring_init(struct ring *r, size_t limit);
void ring_clear(struct ring *r); /* drops every record; the numbers continue */
/* 0 or -ENOMEM. With -ENOMEM a number was used up, so that readers see a gap. */
int ring_append(struct ring *r, enum wire_stream stream, const void *data, size_t len);
/* NULL unless first <= seq < next. */
const struct ring_record *ring_get(const struct ring *r, uint64_t seq);
/* Drops the oldest record. False when there is none. */
bool ring_shed(struct ring *r);
/* Cost of the records from `seq` on. */
uint64_t ring_unread(const struct ring *r, uint64_t seq);

#endif
