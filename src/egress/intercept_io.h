/* SPDX-License-Identifier: Apache-2.0 */
/* intercept_io.h - an intercepted flow, and the bytes below its sessions: frames of the sandbox,
 * the socket to the network. Between intercept.c and intercept_io.c. */
#ifndef CORRAL_EGRESS_INTERCEPT_IO_H
#define CORRAL_EGRESS_INTERCEPT_IO_H

#include "egress/answer.h"
#include "egress/intercept.h"
#include "egress/rewrite.h"
#include "egress/session.h"

enum intercept_phase { PEEKING, SHAKING, TALKING, RAW, ENDING };

struct intercept {
    struct flow *flow;
    enum intercept_phase phase;
    struct session *down, *up;     /* to the sandbox, to the network; owned */
    struct list shake;             /* in tenant->shakes */
    struct flow_rest to_up, ahead; /* for the network; of the sandbox, in plain text */
    struct rewrite request;
    struct answer answer;
    bool tls;
    bool heading;                          /* some of a head has come */
    bool asked, request_done, answer_done; /* the request under way */
    bool up_failed;                        /* the server is not who it should be */
    bool fin, end_up;                      /* the sandbox has ended; tell the network so */
};

/* More frames of the sandbox behind those that wait. 1, -EAGAIN, -EPIPE or -ENOMEM. */
int intercept_fill(struct flow *f);
/* For struct session_io; `ctx` is a struct intercept. */
ssize_t intercept_pull_down(void *ctx, uint8_t *data, size_t len);
ssize_t intercept_pull_up(void *ctx, uint8_t *data, size_t len);
int intercept_push_down(void *ctx, const uint8_t *data, size_t len);
int intercept_push_up(void *ctx, const uint8_t *data, size_t len);
/* Drops and wipes bytes for the network: plain text with secrets may wait there. */
void intercept_take_up(struct intercept *i, size_t len);
/* 1 when nothing is left for the network, 0, or -EPIPE. */
int intercept_flush_up(struct intercept *i);

#endif
