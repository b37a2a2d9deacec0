/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.h - reads the host's side of a flow (include/flow.h) out of a stream of bytes. Pure.
 *
 * DATA is handed on as it comes in, so a frame needs no buffer: the reader holds 12 bytes.
 */
#ifndef CORRAL_AGENT_NET_FRAMES_H
#define CORRAL_AGENT_NET_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMES_HEADER 8u

enum frames_event {
    FRAMES_MORE,    /* all bytes are read */
    FRAMES_OPENED,  /* the flow exists; no other event but REFUSED comes before */
    FRAMES_REFUSED, /* `reason` is set; nothing follows */
    FRAMES_DATA,    /* `data` has `data_len` bytes, at least 1: take some with frames_take */
    FRAMES_FIN,     /* no more DATA */
    FRAMES_RST,     /* nothing follows */
};

struct frames {
    const uint8_t *data;
    size_t data_len;
    uint32_t reason; /* as it came */
    /* Private. */
    uint8_t head[12];
    size_t head_len;
    size_t body_left; /* of a DATA frame */
    enum { FRAMES_AT_START, FRAMES_AT_FLOW, FRAMES_AT_FIN, FRAMES_AT_END } at;
};

/* Reads on from *p, `*len` bytes, and moves both over what was read; DATA is not read until it is
 * taken. An event, or -EPROTO for what may not be. */
int frames_next(struct frames *f, const uint8_t **p, size_t *len);
/* `n` bytes of the DATA event's are done with. */
void frames_take(struct frames *f, const uint8_t **p, size_t *len, size_t n);
/* Writes the header of a frame. */
void frames_header(uint8_t out[FRAMES_HEADER], unsigned int type, size_t len);

#endif
