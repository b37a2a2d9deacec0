/* SPDX-License-Identifier: Apache-2.0 */
/* waits.h - lists of struct store_wait: the callers that wait for one commit. */
#ifndef CORRAL_STORE_WAITS_H
#define CORRAL_STORE_WAITS_H

#include "base/list.h"

/* All of `from` go behind those of `to`. */
void store_waits_move(struct list *to, struct list *from);
/* Empties the list and calls each; the callbacks may flush, close or cancel others. */
void store_waits_answer(struct list *waits, int status);

#endif
