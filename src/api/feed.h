/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed.h - an answer that tells a run's events as they come.
 *
 * The happy path is: api_feed_start, the answer begins with the first reply, each event is written
 * as it comes (stream/event.h), the last one ends the answer. Possible failure modes are: the run
 * is refused (that error with its status, as long as the answer has not begun); it fails later (an
 * event says so, and the answer ends properly); the client reads slowly (the agent is paused, and
 * with it a foreground run); the client goes away (the connection to the agent closes, which ends a
 * foreground run). Silence is filled with signs of life.
 */
#ifndef CORRAL_API_FEED_H
#define CORRAL_API_FEED_H

#include "api/op.h"
#include "stream/event.h"

/* An answer begins after this time even if nothing was said, so that clients that wait for its
 * headers see that the request is being worked on. */
#define FEED_PATIENCE_MS 1000

struct feed_params {
    enum event_kind kind;
    const struct event_writer *writer;
    uint64_t timeout_ms;       /* a backstop behind the agent's own; 0: none */
    uint64_t after;            /* output up to this number is known to the client */
    enum error_code not_found; /* as of an api_op */
    bool raw;                  /* output need not be whole characters */
    bool lines;                /* as of an event_source */
    const char *watched;       /* likewise; in the request's arena */
};

/* Sends `request` (taken over), whose replies are the answer. */
void api_feed_start(struct api_call *call, const struct feed_params *p, struct buf *request);

#endif
