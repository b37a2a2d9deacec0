/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c - addresses are given out in turn, over the whole pool before one comes again: what a
 * program remembers for too long most likely leads to no name at all, not to another one. Those
 * that end in .0 and .255 are left out, since some programs take them for networks and broadcasts.
 */
#include "agent/net/names.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/netdev.h"

#define LABEL_MAX 63u

void names_init(struct names *n, uint32_t seed)
{
    memset(n, 0, sizeof(*n));
    n->seed = seed;
    n->next = NETDEV_POOL_FIRST;
    list_init(&n->order);
    for (size_t i = 0; i < NAMES_BUCKETS; i++) {
        list_init(&n->by_name[i]);
        list_init(&n->by_address[i]);
    }
}

static void forget(struct names *n, struct name *name)
{
    list_del(&name->by_name);
    list_del(&name->by_address);
    list_del(&name->order);
    n->count--;
    free(name);
}

void names_done(struct names *n)
{
    while (!list_empty(&n->order))
        forget(n, list_first(&n->order, struct name, order));
}

bool names_is_pool(uint32_t address)
{
    return address >= NETDEV_POOL_FIRST && address <= NETDEV_POOL_LAST;
}

static struct list *name_bucket(struct names *n, const char *text)
{
    uint32_t h = n->seed ^ 2166136261u;
    for (; *text != '\0'; text++)
        h = (h ^ (uint8_t)*text) * 16777619u;
    return &n->by_name[(h ^ h >> 16) % NAMES_BUCKETS];
}

static struct list *address_bucket(struct names *n, uint32_t address)
{
    return &n->by_address[address % NAMES_BUCKETS];
}

static struct name *use(struct names *n, struct name *name, uint64_t now)
{
    name->used_at = now;
    list_del(&name->order);
    list_add_tail(&n->order, &name->order);
    return name;
}

struct name *names_find(struct names *n, const char *text, uint64_t now)
{
    list_for_each (it, name_bucket(n, text)) {
        struct name *name = list_entry(it, struct name, by_name);
        if (strcmp(name->text, text) == 0)
            return use(n, name, now);
    }
    return NULL;
}

static struct name *find_address(struct names *n, uint32_t address)
{
    list_for_each (it, address_bucket(n, address)) {
        struct name *name = list_entry(it, struct name, by_address);
        if (name->address == address)
            return name;
    }
    return NULL;
}

struct name *names_at(struct names *n, uint32_t address, uint64_t now)
{
    struct name *name = find_address(n, address);
    return name != NULL ? use(n, name, now) : NULL;
}

/* The pool is larger than the table: the search ends. */
static uint32_t take_address(struct names *n)
{
    for (;;) {
        uint32_t address = n->next;
        n->next = address == NETDEV_POOL_LAST ? NETDEV_POOL_FIRST : address + 1;
        uint32_t last = address & 0xff;
        if (last != 0 && last != 0xff && find_address(n, address) == NULL)
            return address;
    }
}

static bool make_room(struct names *n, uint64_t now)
{
    if (n->count < NAMES_MAX)
        return true;
    struct name *oldest = list_first(&n->order, struct name, order);
    if (now - oldest->used_at < NAMES_FLOOR_MS)
        return false;
    forget(n, oldest);
    return true;
}

struct name *names_add(struct names *n, const char *text, uint64_t now)
{
    struct name *name = names_find(n, text, now);
    if (name != NULL)
        return name;
    size_t len = strlen(text);
    if (len == 0 || len > NAMES_LEN || !make_room(n, now))
        return NULL;
    name = calloc(1, sizeof(*name) + len + 1);
    if (name == NULL)
        return NULL;
    memcpy(name->text, text, len + 1);
    name->address = take_address(n);
    name->used_at = now;
    list_add_head(name_bucket(n, text), &name->by_name);
    list_add_head(address_bucket(n, name->address), &name->by_address);
    list_add_tail(&n->order, &name->order);
    n->count++;
    return name;
}

bool names_is_valid(const char *text)
{
    struct in_addr unused;
    size_t label = 0;
    if (text[0] == '\0' || strlen(text) > NAMES_LEN || inet_aton(text, &unused) != 0)
        return false;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '.') {
            if (label == 0)
                return false;
            label = 0;
            continue;
        }
        if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-' && *p != '_')
            return false;
        if (++label > LABEL_MAX)
            return false;
    }
    return label > 0;
}
