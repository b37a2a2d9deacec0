/* SPDX-License-Identifier: Apache-2.0 */
/* code.h - what bridge.c tells op_code.c. */
#ifndef CORRAL_AGENT_CODE_H
#define CORRAL_AGENT_CODE_H

#include "bridge.h"

/* The bridge has been told the variables, has started or ended: those who wait ask it again. */
void code_bridge_changed(struct bridge *b);

#endif
