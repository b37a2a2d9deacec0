/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - what tells this machine from its clones: host name, machine id, boot id.
 *
 * Only process 1 has an identity to renew: an agent in a test shares its machine. What it has no
 * right to is left as it is; in a container the boot id is the host's.
 */
#ifndef CORRAL_AGENT_IDENTITY_H
#define CORRAL_AGENT_IDENTITY_H

void identity_set_name(const char *hostname);
/* New ids, from the kernel's generator: to be called once that has its entropy. */
void identity_renew(void);

#endif
