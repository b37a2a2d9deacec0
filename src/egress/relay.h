/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - the bytes of an open flow, both ways.
 *
 * Theory of operation. One buffer serves all flows. From the network it is filled behind the room
 * that the headers of frames need, up to RELAY_FRAMES frames with one readv, and leaves with one
 * send. From the sandbox it is filled with whatever has come; the payloads in it leave with one
 * sendmsg from where they lie. So a byte is copied by the kernel twice and by this program never,
 * unless the other side does not take it: then what is left is kept with the flow, and that
 * direction is not read again before it has left. A flow holds at most the buffer once in each
 * direction, and nothing while it is idle.
 *
 * A side's end is passed on as it came: FIN as a half-close, RST and a broken connection as RST,
 * and both after all bytes before them. A flow is over when both directions have ended.
 *
 * A flow moves RELAY_SHARE bytes, then others have their turn.
 */
#ifndef CORRAL_EGRESS_RELAY_H
#define CORRAL_EGRESS_RELAY_H

#include "egress/flow_conn.h"

#define RELAY_FRAMES 4u
#define RELAY_SHARE  (1u << 20)

/* Moves what can be moved. The flow may be closed afterwards. */
void relay_run(struct flow *f);

#endif
