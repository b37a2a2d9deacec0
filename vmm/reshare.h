/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reshare.h - pages that a clone has written and that hold again what the snapshot's file holds:
 * given back, so that clones share them as before.
 *
 * Nearly a third of what is private after a run of Python is of that kind: counts of references go
 * up and down again, and some pages are copied ahead and not written.
 */
#ifndef CORRAL_VMM_RESHARE_H
#define CORRAL_VMM_RESHARE_H

#include "loop.h"
#include "mem.h"

#define RESHARE_PAGES 64u /* looked at while the guest stands still once */

struct vm;

struct reshare {
    struct loop_timer timer;
    uint64_t after_ns;           /* without traffic; 0: never */
    uint64_t traffic;            /* when it was looked at last */
    uint64_t page;               /* the next to look at; a pass begins where the last one ended */
    uint64_t left;               /* pages of the pass that is under way */
    uint32_t looked;             /* written ones that it has compared */
    struct reshare_batch *batch; /* owned; of that pass */
    uint64_t *given;             /* owned; a bit for each page given back and not yet taken */
    bool owing;                  /* one of these bits is set */
    uint64_t bytes;              /* given back since start */
};

/* Pages that were written, and what the file has in their place. */
struct reshare_batch {
    uint32_t count;
    uint32_t page[RESHARE_PAGES];
    uint8_t was[RESHARE_PAGES][MEM_PAGE];
};

/* Fills the batch with pages from *page on, at most to `end`, and sets *page behind the last that
 * was looked at. The guest may run. 0 or a negative errno. */
int reshare_find(const struct mem *m, int pagemap_fd, uint64_t *page, uint64_t end,
                 struct reshare_batch *b);
/* Gives those back that are what they were, and sets their bits. The guest stands still. The pages
 * given back. */
uint32_t reshare_drop(struct mem *m, const struct reshare_batch *b, uint64_t *given);

/* In a VM that was restored: begins with the next traffic. */
void reshare_init(struct vm *vm, unsigned int after_s);
/* At the end of a turn of the loop. */
void reshare_turn(struct vm *vm);
/* Code is about to run, which will write most of them again: takes back what was given, which costs
 * less here than one fault of the guest after another. The guest may run. */
void reshare_take_back(struct vm *vm);

#endif
