/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory that is released all at once: allocations of one request. Zeroed is empty. */
#ifndef CORRAL_BASE_ARENA_H
#define CORRAL_BASE_ARENA_H

#include "base/base.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* owned, newest first */
    size_t used;                /* bytes used in the newest block */
};

/* Aligned for any type, zeroed. NULL when memory ran out. */
void *arena_alloc(struct arena *a, size_t size);
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arena_done(struct arena *a);
/* Forgets every allocation and keeps one block, so that a connection's next request does not
 * allocate. */
void arena_reset(struct arena *a);

#endif
