/* SPDX-License-Identifier: Apache-2.0 */
#include "store/waits.h"

#include "store/store.h"

void store_unwait(struct store_wait *w)
{
    w->cb = NULL;
    if (w->link.next != NULL)
        list_del(&w->link);
}

void store_waits_move(struct list *to, struct list *from)
{
    while (!list_empty(from)) {
        struct list *l = from->next;
        list_del(l);
        list_add_tail(to, l);
    }
}

void store_waits_answer(struct list *waits, int status)
{
    struct list answered;
    /* A callback may flush again; that wait belongs to a later commit. */
    list_init(&answered);
    store_waits_move(&answered, waits);
    while (!list_empty(&answered)) {
        struct store_wait *w = list_first(&answered, struct store_wait, link);
        void (*cb)(struct store_wait * w, int status) = w->cb;
        list_del(&w->link);
        w->cb = NULL;
        cb(w, status);
    }
}
