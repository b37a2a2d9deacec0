/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intercept.h - flows to the hosts of a sandbox's transforms: TLS ends here, requests are written
 * anew (rewrite.h), answers are relayed.
 *
 *   PEEKING ─▶ SHAKING ─▶ TALKING ─▶ RAW      a WebSocket, as bytes
 *      │ │                 ▲   └───▶ ENDING   the sandbox takes what is left
 *      │ └──(no TLS)───────┘
 *      └──▶ relay.h, when it is neither TLS nor a port for HTTP
 *
 * state     waits for                                     bounded by
 * PEEKING   the first byte                                EGRESS_IDLE_MS
 * SHAKING   both handshakes, the sandbox's first          EGRESS_SHAKE_MS
 * TALKING   a request; the rest of its head; its answer   EGRESS_IDLE_MS; EGRESS_HEAD_MS;
 *                                                         EGRESS_ANSWER_MS without any byte
 * RAW       bytes of either side                          TCP keepalive
 * ENDING    the sandbox to take the last bytes            EGRESS_FLUSH_MS
 *
 * Handshakes cost milliseconds each. They are taken step by step, sandboxes in turn, for
 * INTERCEPT_SHARE_NS of each turn of the loop, so that other flows do not wait for them.
 *
 * One request is under way at a time, and a byte is read only when the other side has taken those
 * before it. A flow holds its two sessions, one record in each direction, and the head of a
 * request.
 */
#ifndef CORRAL_EGRESS_INTERCEPT_H
#define CORRAL_EGRESS_INTERCEPT_H

#include "egress/flow_conn.h"

#define INTERCEPT_MAX      2048u /* flows at once */
#define INTERCEPT_SHARE_NS 2000000u

struct egress;

/* EGRESS_OK when the flow need not be intercepted or can be, or the reason why it is refused. */
enum egress_reason intercept_may(const struct flow *f);
/* Whether the policy wants the flow intercepted. */
bool intercept_wanted(const struct flow *f);
/* The flow is connected and OPENED was said. It may be closed afterwards. */
void intercept_start(struct flow *f);
void intercept_run(struct flow *f);
void intercept_late(struct flow *f);
/* Releases what the flow holds for it. */
void intercept_drop(struct flow *f);

void intercept_on_turn(struct watch_task *task);

#endif
