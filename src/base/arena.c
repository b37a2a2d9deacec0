/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ARENA_BLOCK 4096

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes of data */
    alignas(max_align_t) char data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
    size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (MAX(size, (size_t)1) + align - 1) / align * align;
    if (a->blocks == NULL || a->blocks->size - a->used < size) {
        size_t block_size = MAX(size, (size_t)ARENA_BLOCK - sizeof(struct arena_block));
        struct arena_block *b = malloc(sizeof(*b) + block_size);
        if (b == NULL)
            return NULL;
        b->size = block_size;
        b->next = a->blocks;
        a->blocks = b;
        a->used = 0;
    }
    void *p = a->blocks->data + a->used;
    a->used += size;
    return memset(p, 0, size);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *copy = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;
    if (copy != NULL)
        memcpy(copy, s, len);
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (s == NULL)
        return NULL;
    va_start(ap, fmt);
    (void)vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

static void arena_free_from(struct arena_block *b)
{
    while (b != NULL) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_done(struct arena *a)
{
    arena_free_from(a->blocks);
    *a = (struct arena){0};
}

void arena_reset(struct arena *a)
{
    if (a->blocks == NULL)
        return;
    /* The oldest block has the standard size unless the first allocation was large. */
    struct arena_block *keep = a->blocks;
    while (keep->next != NULL) {
        struct arena_block *next = keep->next;
        free(keep);
        keep = next;
    }
    a->blocks = keep;
    a->used = 0;
    if (keep->size > ARENA_BLOCK) {
        free(keep);
        a->blocks = NULL;
    }
}
