/* SPDX-License-Identifier: Apache-2.0 */
/* pid1.h - the duties of process 1. Each step does only what is still missing: an OCI runtime has
 * made the mounts, in a microVM nobody has. An agent that is not process 1 only adopts orphans. */
#ifndef CORRAL_AGENT_PID1_H
#define CORRAL_AGENT_PID1_H

void pid1_start(void);
/* Ends every process that is left. As process 1 of a machine this powers it off. */
void pid1_stop(void);

#endif
