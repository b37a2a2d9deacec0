/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - what tells a machine from its clones: host name, machine id and boot id.
 *
 * Only process 1 renews an identity, because any other agent shares its machine. A step that the
 * agent has no right to is skipped: in a container the boot id stays the host's.
 */
#ifndef CORRAL_AGENT_IDENTITY_H
#define CORRAL_AGENT_IDENTITY_H

void identity_set_name(const char *hostname);
/* New ids from the kernel's random generator. Call it once the generator has its entropy. */
void identity_renew(void);

#endif
