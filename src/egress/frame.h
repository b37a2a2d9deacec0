/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - reading the frames of flow.h and egress_ctl.h. Pure functions, no I/O: what the sandbox
 * sends is hostile, and everything that reads it stands here, within reach of a fuzzer.
 *
 * A flow's bytes are not collected into frames: frame_next walks over whatever piece of the stream
 * has arrived and hands out views of the payload in it, so that they can be written on from where
 * they lie.
 */
#ifndef CORRAL_EGRESS_FRAME_H
#define CORRAL_EGRESS_FRAME_H

#include "base/wire_codec.h"
#include "egress/policy.h"

#define FRAME_MAX_FIRST (FLOW_MAX_NAME + 64) /* most payload of OPEN and RESOLVE */
#define FRAME_MAX_ID    64u                  /* most bytes of a sandbox's id */

/* Where in the stream of a flow its reader is. Zeroed: at the start of a frame. */
struct frame_walk {
    uint8_t head[WIRE_HEADER_SIZE];
    uint8_t have;  /* bytes of the header */
    uint32_t left; /* bytes of the payload of a DATA frame */
};

enum frame_step {
    FRAME_MORE,  /* nothing is left */
    FRAME_BYTES, /* *ret is a piece of payload */
    FRAME_FIN,
    FRAME_RST,
    FRAME_BAD, /* what came is not allowed there */
};

/* Takes the next step over `data`, which loses what was taken. A piece has at most `most` bytes. */
enum frame_step frame_next(struct frame_walk *w, struct span *data, size_t most, struct span *ret);

/* Puts the header of a frame of flow.h before its payload. */
void frame_head(uint8_t ret[WIRE_HEADER_SIZE], enum flow_type type, size_t len);

struct frame_first {
    enum flow_type type; /* FLOW_OPEN or FLOW_RESOLVE */
    struct span host;    /* into the input: not terminated, not checked */
    uint16_t port;
    uint32_t id;
};

/* One OPEN or RESOLVE at the start of `data`: its length, 0 when more is needed, or -EPROTO. */
int frame_first_read(struct span data, struct frame_first *ret);

/* Control frames. Strings and lists are owned by the structure; frame_*_done releases them. */
struct frame_setup {
    uint32_t otherwise; /* enum egress_default */
    char **allow, **deny;
    char *ca_cert, *ca_key;
};

/* `headers` has names and values in turn. */
struct frame_transform {
    char *host;
    char **methods, **paths, **headers;
};

struct frame_policy {
    char *id;
    uint32_t otherwise, log;
    char **allow, **deny;
    struct policy_limits limits;
    struct frame_transform *transforms; /* owned */
    uint32_t n_transforms;
};

/* 0, or -EPROTO and nothing is owned. `frame` is a whole packet. */
int frame_type(struct span frame, uint16_t *ret, struct cursor *payload);
int frame_setup_read(struct cursor *c, struct frame_setup *ret);
void frame_setup_done(struct frame_setup *s);
int frame_policy_read(struct cursor *c, struct frame_policy *ret);
void frame_policy_done(struct frame_policy *p);
/* SANDBOX and DROP. Owned by the caller; NULL when it is none. */
char *frame_id_read(struct cursor *c);

#endif
