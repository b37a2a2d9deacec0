/* SPDX-License-Identifier: Apache-2.0 */
/* rest.h - a sandbox in the pool is paused when the driver can pause: it uses no processor time,
 * and its memory does not grow. */
#ifndef CORRAL_SANDBOX_REST_H
#define CORRAL_SANDBOX_REST_H

#include "sandbox/sandbox.h"

/* In READY, unclaimed. */
void sandbox_rest(struct sandbox *sb);
/* In READY, claimed: `awake` follows, perhaps at once, unless the sandbox ends instead. */
void sandbox_wake(struct sandbox *sb, void (*awake)(struct sandbox *sb));

#endif
