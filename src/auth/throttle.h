/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throttle.h - slows down clients that guess: counts failures by name in a table of fixed size.
 *
 * A try is counted when it begins and taken back when it succeeds, so that tries side by side count
 * too. After THROTTLE_FREE tries each further one must wait, THROTTLE_WAIT_MS at first and twice
 * as long each time, up to THROTTLE_WAIT_MAX_MS; THROTTLE_FORGET_MS after the last one all is
 * forgotten. When the table is full the entry that was quiet the longest makes room.
 */
#ifndef CORRAL_AUTH_THROTTLE_H
#define CORRAL_AUTH_THROTTLE_H

#include <stdbool.h>

#include "base/base.h"

#define THROTTLE_SLOTS       4096 /* a power of two */
#define THROTTLE_PROBE       8    /* slots looked at for one name */
#define THROTTLE_FREE        5
#define THROTTLE_WAIT_MS     15000
#define THROTTLE_WAIT_MAX_MS 900000
#define THROTTLE_FORGET_MS   3600000

struct throttle_slot {
    uint64_t name; /* keyed hash of the name; 0: empty */
    uint64_t last_ms;
    uint32_t tries;
};

struct throttle {
    uint64_t seed; /* nobody outside can aim at a slot */
    struct throttle_slot *slots;
};

/* The table is made at the first try. */
void throttle_init(struct throttle *t);
void throttle_done(struct throttle *t);

/* How long `name` has to wait before its next try; 0: it may try now. `now_ms` is monotonic. */
uint64_t throttle_wait(const struct throttle *t, const char *kind, const char *name,
                       uint64_t now_ms);
/* Whether `name` was counted and is not forgotten. */
bool throttle_knows(const struct throttle *t, const char *kind, const char *name);
/* A try begins. */
void throttle_count(struct throttle *t, const char *kind, const char *name, uint64_t now_ms);
/* It did not fail. With `all` earlier failures are forgiven too. */
void throttle_forgive(struct throttle *t, const char *kind, const char *name, bool all);

#endif
