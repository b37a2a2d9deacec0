/* SPDX-License-Identifier: Apache-2.0 */
#include "pagesum.h"

#include <string.h>

#define PAGESUM_FACTOR 0x9e3779b97f4a7c15ull /* odd: 2^64 divided by the golden ratio */

static uint64_t pagesum_step(uint64_t lane, uint64_t word)
{
    return ((lane << 29 | lane >> 35) ^ word) * PAGESUM_FACTOR;
}

void pagesum_begin(struct pagesum *s)
{
    for (unsigned int i = 0; i < PAGESUM_LANES; i++)
        s->lane[i] = pagesum_step(0, i + 1);
}

void pagesum_add(struct pagesum *s, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t word[PAGESUM_LANES], a = s->lane[0], b = s->lane[1], c = s->lane[2], d = s->lane[3];
    for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
        memcpy(word, p, sizeof(word));
        a = pagesum_step(a, word[0]);
        b = pagesum_step(b, word[1]);
        c = pagesum_step(c, word[2]);
        d = pagesum_step(d, word[3]);
    }
    *s = (struct pagesum){{a, b, c, d}};
}

uint32_t pagesum_end(const struct pagesum *s)
{
    uint64_t h = 0;
    for (unsigned int i = 0; i < PAGESUM_LANES; i++)
        h = pagesum_step(h, s->lane[i]);
    return (uint32_t)(h ^ h >> 32);
}
