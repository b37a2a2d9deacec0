/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - raw bytes between the server's connection and a socket in the sandbox.
 *
 * The happy path is: relay_init, the owner sets the far socket, relay_start moves what is buffered
 * and then bytes both ways, each side is read only while the other takes them.
 * Possible failure modes are: a side is reset (what came from it is still delivered); the server
 * goes (a coupled relay ends at once, an uncoupled one first delivers what was sent).
 *
 * An uncoupled relay (PORT) passes half-closes on and ends when both ways have ended; once one has,
 * RELAY_HALF_US without a byte end it too. A coupled one (code) ends with either side, and
 * answers ERROR when no byte came from the far side.
 */
#ifndef CORRAL_AGENT_RELAY_H
#define CORRAL_AGENT_RELAY_H

#include "agent/conn.h"

#define RELAY_HALF_US (600 * 1000000ull)

struct relay_way {
    struct buf pending; /* read and not yet written; at most one read's worth after the start */
    bool ended;         /* no more will be read */
    bool shut;          /* no more can be written */
};

struct relay {
    struct conn *conn; /* the near side */
    struct source far;
    struct relay_way up, down; /* near to far, far to near */
    bool coupled;
    bool started;
    bool answered; /* a byte came from far */
    bool moved;    /* since the timer was set */
    /* What leads the way up is answered by a frame without a payload, which is not for the server:
     * the bytes of it that are still to come, and what came. Any other frame is the answer to the
     * request. */
    size_t lead_left;
    uint8_t lead[WIRE_HEADER_SIZE];
    /* The frame has come, or with `taken` false something else, or nothing in time. */
    void (*led)(struct relay *r, bool taken);
    struct timer timer;
    /* Far is writable or broken while not started: a connect() has ended. */
    void (*connected)(struct relay *r);
};

void relay_init(struct relay *r, struct conn *conn, bool coupled);
/* Before relay_start: sends the frames of `b` (emptied) first. `led` tells within `timeout` whether
 * an OK came for them. */
void relay_lead(struct relay *r, struct buf *b, uint64_t timeout_us,
                void (*led)(struct relay *r, bool taken));
void relay_start(struct relay *r);
void relay_handle_near(struct relay *r, uint32_t events);
void relay_handle_far(struct source *s, uint32_t events);
void relay_done(struct relay *r); /* for op->stop */

#endif
