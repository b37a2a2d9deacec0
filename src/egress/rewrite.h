/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite.h - the requests of an intercepted connection, one after another: bytes of the sandbox
 * in, bytes for the server out. Pure functions, no I/O; the bytes are hostile.
 *
 * A head is collected, read line by line and written anew: only what was understood is sent on, in
 * one spelling, so that the server cannot read another request than the one that was judged.
 * Refused are: line feeds and carriage returns by themselves, folded lines, control characters,
 * blanks before a colon, two lengths, a length beside chunks, another coding than chunked, targets
 * that are not a path, a Host that is not the name that the flow asked for. Fields of one hop end
 * here. The fields of all transforms that apply replace those of the request.
 *
 * llhttp reads the head that was written as a second opinion and walks over the body. Chunks are
 * written anew as well: their extensions and trailers end here.
 *
 * The caller loops over rewrite_next with rewrite_reset between requests. What is written may hold
 * secrets: the caller wipes it.
 */
#ifndef CORRAL_EGRESS_REWRITE_H
#define CORRAL_EGRESS_REWRITE_H

#include <stdalign.h>

#include "egress/transform.h"

#define REWRITE_STATE    128   /* bytes, enough for llhttp's own struct */
#define REWRITE_MAX_HEAD 65536 /* bytes of a head */
#define REWRITE_FIELDS   256   /* fields of a head */

struct rewrite_target {
    const char *name; /* that the flow asked for */
    uint16_t port;
    bool tls;
    const struct transform_list *transforms;
};

enum rewrite_step {
    REWRITE_MORE, /* everything was taken */
    REWRITE_DONE, /* the request is complete; what is left belongs to the next one */
    REWRITE_BAD,  /* `status` and `reason` have the answer; nothing may follow */
};

struct rewrite {
    alignas(max_align_t) uint8_t llhttp[REWRITE_STATE];
    struct buf head;    /* owned: as it came, until it is complete */
    struct buf payload; /* owned: of the body, within a call */
    bool in_body, chunked, done;
    bool is_head;    /* the method is HEAD: the answer has no body */
    bool upgrade;    /* a WebSocket is asked for */
    bool keep_alive; /* the client may send another request */
    uint64_t paid, framing;
    int status;
    const char *reason;
};

void rewrite_reset(struct rewrite *r);
void rewrite_done(struct rewrite *r);
/* Whether some bytes of a request have come. */
bool rewrite_begun(const struct rewrite *r);
/* Takes bytes off `in` and appends what is to be sent. */
enum rewrite_step rewrite_next(struct rewrite *r, const struct rewrite_target *t, struct span *in,
                               struct buf *out);

#endif
