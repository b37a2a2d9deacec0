/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configure.h - what the phase CONFIGURING sends: CONFIGURE, and then CLOCK as long as the
 * clock was late. Both are made when they can leave, on the open connection of sb->op.
 */
#ifndef CORRAL_SANDBOX_CONFIGURE_H
#define CORRAL_SANDBOX_CONFIGURE_H

#include "sandbox/sandbox.h"

/* `opened` of sb->op: in that phase sends CONFIGURE or, once sb->clock_tries counts, CLOCK. */
void sandbox_configure_opened(struct agent_call *call);
/* Takes the answer and sets sb->clock_late: whether too much of the time since the clock was sent
 * may have gone by before the guest had set it. False for an answer that makes no sense. */
bool sandbox_take_clock_age(struct sandbox *sb, const struct wire_frame *frame);

#endif
