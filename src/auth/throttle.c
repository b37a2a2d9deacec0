/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/throttle.h"

#include <string.h>

#include "core/id.h"

void throttle_init(struct throttle *t)
{
    *t = (struct throttle){0};
    id_random(&t->seed, sizeof(t->seed));
}

void throttle_done(struct throttle *t)
{
    free(t->slots);
    t->slots = NULL;
}

/* FNV-1a from a secret start, mixed once more at the end. */
static uint64_t throttle_hash(const struct throttle *t, const char *kind, const char *name)
{
    uint64_t h = t->seed;
    for (const char *p = kind; *p != '\0'; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3u;
    h = (h ^ 0xff) * 0x100000001b3u;
    for (const char *p = name; *p != '\0'; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    h ^= h >> 32;
    return h != 0 ? h : 1;
}

static struct throttle_slot *throttle_find(const struct throttle *t, uint64_t hash)
{
    for (size_t i = 0; t->slots != NULL && i < THROTTLE_PROBE; i++) {
        struct throttle_slot *s = &t->slots[(hash + i) & (THROTTLE_SLOTS - 1)];
        if (s->name == hash)
            return s;
    }
    return NULL;
}

static struct throttle_slot *throttle_take(struct throttle *t, uint64_t hash)
{
    struct throttle_slot *best = NULL;
    for (size_t i = 0; i < THROTTLE_PROBE; i++) {
        struct throttle_slot *s = &t->slots[(hash + i) & (THROTTLE_SLOTS - 1)];
        if (best == NULL || s->name == 0 || s->last_ms < best->last_ms)
            best = s;
        if (s->name == 0)
            break;
    }
    *best = (struct throttle_slot){.name = hash};
    return best;
}

uint64_t throttle_wait(const struct throttle *t, const char *kind, const char *name,
                       uint64_t now_ms)
{
    const struct throttle_slot *s = throttle_find(t, throttle_hash(t, kind, name));
    if (s == NULL || s->tries < THROTTLE_FREE || now_ms - s->last_ms > THROTTLE_FORGET_MS)
        return 0;
    uint32_t doublings = MIN(s->tries - THROTTLE_FREE, 16u);
    uint64_t wait = MIN((uint64_t)THROTTLE_WAIT_MS << doublings, (uint64_t)THROTTLE_WAIT_MAX_MS);
    uint64_t due = s->last_ms + wait;
    return due > now_ms ? due - now_ms : 0;
}

bool throttle_knows(const struct throttle *t, const char *kind, const char *name)
{
    return throttle_find(t, throttle_hash(t, kind, name)) != NULL;
}

void throttle_count(struct throttle *t, const char *kind, const char *name, uint64_t now_ms)
{
    uint64_t hash = throttle_hash(t, kind, name);
    if (t->slots == NULL)
        t->slots = calloc(THROTTLE_SLOTS, sizeof(*t->slots));
    if (t->slots == NULL)
        return;
    struct throttle_slot *s = throttle_find(t, hash);
    if (s == NULL)
        s = throttle_take(t, hash);
    if (now_ms - s->last_ms > THROTTLE_FORGET_MS)
        s->tries = 0;
    s->tries++;
    s->last_ms = now_ms;
}

void throttle_forgive(struct throttle *t, const char *kind, const char *name, bool all)
{
    struct throttle_slot *s = throttle_find(t, throttle_hash(t, kind, name));
    if (s == NULL || s->tries == 0)
        return;
    s->tries = all ? 0 : s->tries - 1;
}
