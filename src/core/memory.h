/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - what the host has left. */
#ifndef CORRAL_CORE_MEMORY_H
#define CORRAL_CORE_MEMORY_H

#include <stdint.h>

/* Bytes that new programs could have without swapping, as the kernel estimates it. UINT64_MAX where
 * it does not say. Reads a small file of /proc. */
uint64_t memory_available(void);

/* The same out of the text of /proc/meminfo, for tests. */
uint64_t memory_available_in(const char *text);

#endif
