/* SPDX-License-Identifier: Apache-2.0 */
/* bridge_call.h - the one request the agent itself makes of the bridge: CODE_ENV. */
#ifndef CORRAL_AGENT_BRIDGE_CALL_H
#define CORRAL_AGENT_BRIDGE_CALL_H

#include "bridge.h"

/* Both are for a bridge that hangs, not for a slow machine: a bridge waits for nothing before it
 * answers. One that takes longer is killed. */
#define BRIDGE_CALL_US       (100 * 1000000ull) /* when it is up */
#define BRIDGE_FIRST_CALL_US (600 * 1000000ull) /* when it is starting */

/* Tells a bridge that runs what it has to be told. 0: it knows. -EINPROGRESS: code_bridge_changed()
 * will be called when it does, or has ended: one that hangs or refuses is killed, since code must
 * not run with the variables or the random numbers of another sandbox, and the next one starts
 * with its own. Another negative errno: not sent. */
int bridge_call_env(struct bridge *b);
void bridge_call_handle_event(struct source *s, uint32_t events);
/* The bridge has ended: nobody answers any more. */
void bridge_call_end(struct bridge *b);

#endif
