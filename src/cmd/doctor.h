/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h - `corrald doctor`: what of this machine makes sandboxes slower or weaker than they
 * could be? */
#ifndef CORRAL_CMD_DOCTOR_H
#define CORRAL_CMD_DOCTOR_H

#include "base/buf.h"
#include "config/config.h"

/* Looks at the files of /proc, /sys and /dev below `root` ("" for this machine) and appends a line
 * for each point: `ok`, `slow` or `weak`, its name, and what that costs. Returns the number of
 * points that are not `ok`. A file that this kernel does not have is no
 * point. */
unsigned int doctor_look(const char *root, struct buf *out);

/* See struct cmd. Prints these lines, and whether KVM can be used; fails when any point does.
 * Blocks for up to two seconds. */
int doctor_cmd(const struct config *config, struct error *err);

#endif
