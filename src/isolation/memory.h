/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - the memory of an instance at one moment, for others that start from it at once, and
 * nowhere on the disk (instance_fork).
 *
 * Of a microVM it is two memfds, sealed against every change. Who has a reference keeps them open:
 * the operation that makes them, the snapshot that they belong to, and each child until its process
 * has them. That process maps them privately. So the kernel keeps the pages as long as a child
 * lives that has not written them, and a server that ends, or is killed, takes nothing away.
 *
 * References are counted on the loop's thread alone.
 */
#ifndef CORRAL_ISOLATION_MEMORY_H
#define CORRAL_ISOLATION_MEMORY_H

#include <stdint.h>

#define INSTANCE_MEMORY_FDS 2

struct instance_memory {
    unsigned int refs;
    int fds[INSTANCE_MEMORY_FDS]; /* owned; -1 until instance_fork has made them */
    uint64_t bytes;               /* of guest memory in them */
    uint64_t pause_us;            /* how long the instance stood still for it; 0: it did not say */
};

/* An empty one with one reference; NULL: out of memory. */
struct instance_memory *instance_memory_new(void);
/* One more reference. NULL is fine, and comes back. */
struct instance_memory *instance_memory_get(struct instance_memory *m);
/* Gives *m up and clears it; the last one closes the files. */
void instance_memory_put(struct instance_memory **m);

#endif
