/* SPDX-License-Identifier: Apache-2.0 */
/* connect.h - the network of one sandbox, from its claim or its adoption to its end. */
#ifndef CORRAL_SANDBOX_CONNECT_H
#define CORRAL_SANDBOX_CONNECT_H

#include "sandbox/sandbox.h"

/* Attaches it with the policy of its owner. A failure is logged: it has no network then. */
void sandbox_connect(struct sandbox *sb);

#endif
