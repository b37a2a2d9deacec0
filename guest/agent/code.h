/* SPDX-License-Identifier: Apache-2.0 */
/* code.h - what bridge.c tells op_code.c. */
#ifndef CORRAL_AGENT_CODE_H
#define CORRAL_AGENT_CODE_H

#include "agent/bridge.h"

/* The bridge has started, or will not: those who wait for it go on. */
void code_bridge_changed(struct bridge *b);

#endif
