/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pagesum.h - a checksum of pages, for what there is most of: it costs less than copying them, also
 * where instructions are interpreted, which do a CRC bit by bit. Against accidents, not attackers.
 *
 * Word after word goes into one of four lanes, which an odd factor and a rotation mix. For each
 * word a step is a bijection of its lane, and for each lane one of the word: what differs in one
 * word alone differs in its lane to the end. The last step takes the four to 32 bits.
 */
#ifndef CORRAL_VMM_PAGESUM_H
#define CORRAL_VMM_PAGESUM_H

#include <stddef.h>
#include <stdint.h>

#define PAGESUM_LANES 4u

struct pagesum {
    uint64_t lane[PAGESUM_LANES];
};

void pagesum_begin(struct pagesum *s);
/* `len` is a multiple of 32 bytes. What is added in pieces has the sum of the whole. */
void pagesum_add(struct pagesum *s, const void *data, size_t len);
uint32_t pagesum_end(const struct pagesum *s);

#endif
