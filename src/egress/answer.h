/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - where an answer of a server ends. Pure functions, no I/O.
 *
 * Answers are relayed as bytes. They are read beside it only to know when the next request may be
 * sent on the connection, and when a WebSocket begins.
 */
#ifndef CORRAL_EGRESS_ANSWER_H
#define CORRAL_EGRESS_ANSWER_H

#include <stdalign.h>
#include <stdbool.h>

#include "base/wire_codec.h"

#define ANSWER_STATE 128 /* bytes, enough for llhttp's own struct */

enum answer_step {
    ANSWER_MORE,     /* everything belongs to the answer */
    ANSWER_DONE,     /* complete; what is left belongs to no request */
    ANSWER_UPGRADED, /* what is left and all that follows is no longer HTTP */
    ANSWER_BAD,
};

struct answer {
    alignas(max_align_t) uint8_t llhttp[ANSWER_STATE];
    bool is_head, may_upgrade;
    bool keep_alive; /* valid with DONE */
    enum answer_step step;
};

/* Before each request's answer. */
void answer_begin(struct answer *a, bool is_head, bool may_upgrade);
/* Takes off `in` what belongs to the answer. */
enum answer_step answer_next(struct answer *a, struct span *in);
/* The server has ended: whether the answer is complete with it. */
bool answer_end(struct answer *a);

#endif
