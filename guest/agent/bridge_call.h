/* SPDX-License-Identifier: Apache-2.0 */
/* bridge_call.h - the one request the agent itself makes of the bridge: CODE_ENV. */
#ifndef CORRAL_AGENT_BRIDGE_CALL_H
#define CORRAL_AGENT_BRIDGE_CALL_H

#include "agent/bridge.h"

#define BRIDGE_CALLS_MAX 8
/* Both are for a bridge that hangs, not for a slow machine: a bridge waits for nothing before it
 * answers. One that takes longer is killed. */
#define BRIDGE_CALL_US       (100 * 1000000ull) /* when it is up */
#define BRIDGE_FIRST_CALL_US (600 * 1000000ull) /* when it is starting */

enum bridge_answer {
    BRIDGE_AGREED,
    BRIDGE_REFUSED, /* it answered ERROR, or nonsense */
    BRIDGE_GONE,    /* it ended, or hung and was ended: the next one starts with these variables */
};

struct bridge_call;

/* Sends the variables, and a fresh random seed with `reseed`. `answered` (may be NULL) is called
 * once, never from inside this call, unless `*ret` (may be NULL) is forgotten before. A bridge
 * that is absent or waits for its next start needs no call: *ret is NULL, answered is not called
 * and the result is 0. Negative errno: not sent. */
int bridge_call_env(struct bridge *b, char *const *env, bool reseed,
                    void (*answered)(void *ctx, enum bridge_answer answer), void *ctx,
                    struct bridge_call **ret);
/* The caller does not want to know any more. */
void bridge_call_forget(struct bridge_call *call);
void bridge_call_handle_event(struct source *s, uint32_t events);
/* The bridge has ended: all calls are answered BRIDGE_GONE. */
void bridge_calls_fail(struct bridge *b);

#endif
