/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.h - a question to the agent whose replies become one JSON object.
 *
 * The happy path is: api_ask, and `take` writes the members that each reply is worth until it says
 * that the object is complete. Possible failure
 * modes are those of an api_op, and an object that grows over ASK_MAX.
 */
#ifndef CORRAL_API_ASK_H
#define CORRAL_API_ASK_H

#include "api/op.h"

#define ASK_MAX        (32u << 20) /* bytes of an answer */
#define ASK_TIMEOUT_MS 60000

struct ask;

struct ask_params {
    int status; /* HTTP status of the answer; 0: 200 */
    /* Takes a reply: 1 when the object is complete, 0 when more come, -EPROTO for a reply that is
     * malformed or not allowed. */
    int (*take)(struct ask *a, const struct wire_frame *frame);
    /* When the agent does not find the file, writes what is the answer then. NULL: it is an error.
     */
    void (*absent)(struct ask *a);
    /* A member that is an array, or "" when the answer itself is one. Its elements come from
     * `take`, which sees every reply but END, the end of the array and the answer. NULL: there is
     * none. */
    const char *array;
    enum error_code not_found; /* as of an api_op */
    const char *text;          /* for `take`: in the request's arena, or static */
    bool flag;                 /* likewise */
    int64_t number;            /* likewise */
};

struct ask {
    struct api_op op;
    struct ask_params p;
    struct buf body;
    struct jsonw w; /* inside of the object */
    int64_t seen;   /* for `take` */
};

/* Sends `request` (taken over), whose replies are the answer. */
void api_ask(struct api_call *call, const struct ask_params *p, struct buf *request);

/* For `take`: OK is answered with {"message":text} behind what was written before. */
int api_ask_done(struct ask *a, const struct wire_frame *frame);

#endif
