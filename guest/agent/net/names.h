/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - which address of the pool stands for which name.
 *
 * An address means its name only in this sandbox. It is in the sandbox's memory, so it survives
 * snapshots, forks and whatever restarts on the host. Equal names keep their address while they are
 * known; a name that is forgotten is the one used longest ago, and never one used within
 * NAMES_FLOOR_MS: programs keep what they resolved for a while.
 */
#ifndef CORRAL_AGENT_NET_NAMES_H
#define CORRAL_AGENT_NET_NAMES_H

#include <stdbool.h>

#include "base/list.h"

#define NAMES_MAX      8192u
#define NAMES_BUCKETS  2048u
#define NAMES_LEN      253u
#define NAMES_FLOOR_MS 300000u

struct name {
    struct list by_name, by_address, order;
    uint32_t address;
    uint64_t used_at;     /* ms */
    uint64_t fresh_until; /* ms: the host has said that it exists */
    char text[];
};

struct names {
    struct list by_name[NAMES_BUCKETS], by_address[NAMES_BUCKETS];
    struct list order; /* used longest ago first */
    uint32_t next;     /* address */
    uint32_t seed;
    unsigned int count;
};

void names_init(struct names *n, uint32_t seed);
void names_done(struct names *n);
/* Finding counts as use. NULL: unknown. */
struct name *names_find(struct names *n, const char *text, uint64_t now);
struct name *names_at(struct names *n, uint32_t address, uint64_t now);
/* The name, with an address. NULL when all names are in use, or memory is short. */
struct name *names_add(struct names *n, const char *text, uint64_t now);
bool names_is_pool(uint32_t address);

/* Whether a name server could know it: labels of [a-z0-9_-] up to 63 bytes, and not what
 * inet_aton(3) takes for an address. */
bool names_is_valid(const char *text);

#endif
