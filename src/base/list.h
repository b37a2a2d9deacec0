/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - intrusive doubly linked list. A node is in at most one list; list_del leaves it
 * self-linked, so deleting twice is harmless. */
#ifndef CORRAL_BASE_LIST_H
#define CORRAL_BASE_LIST_H

#include <stdbool.h>

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name)                                                                            \
    {                                                                                              \
        &(name), &(name)                                                                           \
    }

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* Insert `n` before `pos`; with `pos` a list head this appends. */
static inline void list_add_tail(struct list *pos, struct list *n)
{
    n->prev = pos->prev;
    n->next = pos;
    pos->prev->next = n;
    pos->prev = n;
}

static inline void list_add_head(struct list *pos, struct list *n)
{
    list_add_tail(pos->next, n);
}

static inline void list_del(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

#define list_entry(ptr, type, member)  container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)

#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)

/* The current node may be deleted inside the loop; no other may. */
#define list_for_each_safe(it, head)                                                               \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

#endif
