/* SPDX-License-Identifier: Apache-2.0 */
/* oci_seccomp.h - which system calls a sandbox may make: one table, every group with its reason. */
#ifndef CORRAL_OCI_SECCOMP_H
#define CORRAL_OCI_SECCOMP_H

#include "jsonw.h"

/* Writes the value of linux.seccomp in a container's configuration. */
void oci_seccomp_write(struct jsonw *w);

#endif
