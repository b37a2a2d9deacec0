/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "t.h"

static void allocates_zeroed_and_aligned(void)
{
    struct arena a = {0};
    for (size_t size = 0; size < 3000; size += 7) {
        uint8_t *p = arena_alloc(&a, size);
        T_TRUE(p != NULL && (uintptr_t)p % _Alignof(max_align_t) == 0);
        for (size_t i = 0; i < size; i++)
            T_EQ(p[i], 0);
        memset(p, 0xff, size);
    }
    arena_done(&a);
    arena_done(&a);
    T_TRUE(a.blocks == NULL);
}

static void reuse_is_zeroed_too(void)
{
    struct arena a = {0};
    uint8_t *first = arena_alloc(&a, 100);
    memset(first, 0xff, 100);
    for (int i = 0; i < 100; i++)
        (void)arena_alloc(&a, 1000);
    arena_reset(&a);
    uint8_t *p = arena_alloc(&a, 100);
    T_TRUE(p == first); /* no allocation for a connection's next request */
    for (size_t i = 0; i < 100; i++)
        T_EQ(p[i], 0);
    arena_done(&a);
}

static void large_blocks_are_not_kept(void)
{
    struct arena a = {0};
    arena_reset(&a);
    T_TRUE(arena_alloc(&a, 1 << 20) != NULL);
    T_TRUE(arena_alloc(&a, 10) != NULL);
    arena_reset(&a);
    T_TRUE(a.blocks == NULL);
    T_TRUE(arena_alloc(&a, 10) != NULL);
    arena_done(&a);
}

static void strings(void)
{
    struct arena a = {0};
    T_STR(arena_strndup(&a, "hello world", 5), "hello");
    T_STR(arena_strndup(&a, "", 0), "");
    T_STR(arena_printf(&a, "%s-%d", "x", 7), "x-7");
    char *s = arena_printf(&a, "%*s", 10000, "");
    T_EQ(strlen(s), 10000);
    arena_done(&a);
}

static void impossible_sizes_fail(void)
{
    struct arena a = {0};
    T_TRUE(arena_alloc(&a, SIZE_MAX) == NULL);
    T_TRUE(arena_alloc(&a, SIZE_MAX / 2 + 1) == NULL);
    T_TRUE(arena_strndup(&a, "x", SIZE_MAX) == NULL);
    T_TRUE(arena_alloc(&a, 1) != NULL);
    arena_done(&a);
}

T_MAIN(T_CASE(allocates_zeroed_and_aligned), T_CASE(reuse_is_zeroed_too),
       T_CASE(large_blocks_are_not_kept), T_CASE(strings), T_CASE(impossible_sizes_fail))
