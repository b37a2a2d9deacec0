/* SPDX-License-Identifier: Apache-2.0 */
/* tally.h - how many things each of many holds at once: connections of an address, requests of a
 * key. Memory is taken only for those that hold something. */
#ifndef CORRAL_CORE_TALLY_H
#define CORRAL_CORE_TALLY_H

#include "base/list.h"

#define TALLY_NAME    40  /* bytes of a name that are told apart */
#define TALLY_BUCKETS 256 /* a power of two */

struct tally_entry {
    struct list node;
    unsigned int count;
    char name[TALLY_NAME];
};

struct tally {
    struct list buckets[TALLY_BUCKETS];
};

void tally_init(struct tally *t);
/* One more for `name`. NULL: out of memory. */
struct tally_entry *tally_take(struct tally *t, const char *name);
/* One less; the entry may be gone afterwards. Harmless for NULL. */
void tally_drop(struct tally_entry *e);

#endif
