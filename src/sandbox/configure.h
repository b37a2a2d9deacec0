/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configure.h - what the phase CONFIGURING sends: CONFIGURE, and then CLOCK for as long as the
 * clock came late. Both are encoded when the connection of sb->op is open, so that the clock is
 * read as late as possible.
 */
#ifndef CORRAL_SANDBOX_CONFIGURE_H
#define CORRAL_SANDBOX_CONFIGURE_H

#include "sandbox/sandbox.h"

/* The handler `opened` of sb->op. In CONFIGURING it sends CONFIGURE, and CLOCK when sb->clock_tries
 * is not 0; in the other phases nothing. */
void sandbox_configure_opened(struct agent_call *call);
/* Takes the answer and sets sb->clock_late: whether the guest may have set its clock too long after
 * it was sent. False for an answer that is malformed. */
bool sandbox_take_clock_age(struct sandbox *sb, const struct wire_frame *frame);

#endif
