/* SPDX-License-Identifier: Apache-2.0 */
/* probe.h - `corrald probe`: can this machine run microVMs? */
#ifndef CORRAL_CMD_PROBE_H
#define CORRAL_CMD_PROBE_H

#include "config/config.h"

/* See struct cmd. Prints how fast a guest runs; fails with the reason in `err` when KVM cannot be
 * used here. Blocks for up to two seconds. */
int probe_cmd(const struct config *config, struct error *err);

#endif
