/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.h - the disk of a container as a directory: what a snapshot keeps, and what a sandbox begins
 * with.
 *
 *   disk.img   the image, where containers have one of their own (disk.h); otherwise
 *   upper/     the upper directory of its overlay
 *   owner      the host's id that the sandbox's root has in it, text
 *
 * Everything here blocks and is for helper processes.
 */
#ifndef CORRAL_ISOLATION_OCI_COPY_H
#define CORRAL_ISOLATION_OCI_COPY_H

#include "isolation/oci/spec.h"

/* Makes the disk of a new sandbox, whose directory is `dir`, from spec->snapshot and sets
 * spec->owner. Only what has been made on the same template fits. */
int oci_copy_restore(struct oci_spec *spec, int dir, struct error *err);

#endif
