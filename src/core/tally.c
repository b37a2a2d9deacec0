/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tally.h"

#include <string.h>

void tally_init(struct tally *t)
{
    for (size_t i = 0; i < TALLY_BUCKETS; i++)
        list_init(&t->buckets[i]);
}

struct tally_entry *tally_take(struct tally *t, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    size_t len = strnlen(name, TALLY_NAME - 1);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    struct list *bucket = &t->buckets[(hash ^ hash >> 16) % TALLY_BUCKETS];
    list_for_each (it, bucket) {
        struct tally_entry *e = list_entry(it, struct tally_entry, node);
        if (strncmp(e->name, name, TALLY_NAME - 1) == 0) {
            e->count++;
            return e;
        }
    }
    struct tally_entry *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->count = 1;
    memcpy(e->name, name, len);
    list_add_tail(bucket, &e->node);
    return e;
}

void tally_drop(struct tally_entry *e)
{
    if (e == NULL || --e->count > 0)
        return;
    list_del(&e->node);
    free(e);
}
