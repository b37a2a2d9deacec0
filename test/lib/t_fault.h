/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_fault.h - makes the nth memory allocation fail. For programs linked with `fault_dep`
 * (src/net/meson.build), which sends their malloc, calloc and realloc here. libuv's own are left
 * alone: it aborts when some of them fail. Include it in one file of the program.
 *
 *   for (int n = 1; ; n++) {
 *       t_fault_arm(n);
 *       run();
 *       if (!t_fault_disarm())
 *           break;         the run made fewer than n allocations
 *   }
 */
#ifndef CORRAL_T_FAULT_H
#define CORRAL_T_FAULT_H

#include <stdbool.h>
#include <stdlib.h>

#include "t.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static int t_fault_left; /* allocations until the failing one; 0: none fails */
static bool t_fault_hit;

static bool t_fault_now(void)
{
    if (t_fault_left == 0 || --t_fault_left > 0)
        return false;
    t_fault_hit = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return t_fault_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return t_fault_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return t_fault_now() ? NULL : __real_realloc(p, size);
}

static inline void t_fault_arm(int nth)
{
    t_fault_hit = false;
    t_fault_left = nth;
}

/* Whether the armed allocation was reached. */
static inline bool t_fault_disarm(void)
{
    t_fault_left = 0;
    return t_fault_hit;
}

#endif
