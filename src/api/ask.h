/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.h - a question to the agent whose replies become one JSON object.
 *
 * The happy path is: api_ask_new, members that are known already, api_ask_send; `take` writes the
 * members that each reply is worth until it says that the object is complete. Possible failure
 * modes are those of an api_op, and an object that grows over ASK_MAX.
 */
#ifndef CORRAL_API_ASK_H
#define CORRAL_API_ASK_H

#include "api/op.h"

#define ASK_MAX        (32u << 20) /* bytes of an answer */
#define ASK_TIMEOUT_MS 60000

struct ask {
    struct api_op op;
    int status; /* HTTP status of the answer */
    /* Takes a reply: 1 when the object is complete, 0 when more come, -EPROTO for a reply that is
     * malformed or not allowed. */
    int (*take)(struct ask *a, const struct wire_frame *frame);
    /* When the agent does not find the file, writes what is the answer then. NULL: it is an error.
     */
    void (*absent)(struct ask *a);
    const char *text; /* the asker's own: in the request's arena, or static */
    bool flag;        /* likewise */
    bool array;       /* the answer is one; `take` ends it */
    struct buf body;
    struct jsonw w; /* inside of the object */
};

/* The object is begun. NULL: the request has its answer. */
struct ask *api_ask_new(struct api_call *call, int status,
                        int (*take)(struct ask *a, const struct wire_frame *frame));
/* As api_ask_new for an answer that is an array, which has begun, and which `take` ends. */
struct ask *api_ask_new_array(struct api_call *call, int status,
                              int (*take)(struct ask *a, const struct wire_frame *frame));
/* Sends `request` (taken over). */
void api_ask_send(struct ask *a, struct api_call *call, struct buf *request);

/* For `take`: OK is answered with {"message":`text`} behind what was written before. */
int api_ask_done(struct ask *a, const struct wire_frame *frame);

#endif
