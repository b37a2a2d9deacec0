/* SPDX-License-Identifier: Apache-2.0 */
/* rest.h - a sandbox that waits in the pool stands still, where the driver can do that: it
 * takes no processor time, and no more memory than it has. */
#ifndef CORRAL_SANDBOX_REST_H
#define CORRAL_SANDBOX_REST_H

#include "sandbox/sandbox.h"

/* In READY, unclaimed. */
void sandbox_rest(struct sandbox *sb);
/* In READY, claimed: `awake` follows, perhaps at once, unless the sandbox ends instead. */
void sandbox_wake(struct sandbox *sb, void (*awake)(struct sandbox *sb));

#endif
