/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.h - which system calls a sandbox may make: one table, every group with its reason. */
#ifndef CORRAL_ISOLATION_OCI_SECCOMP_H
#define CORRAL_ISOLATION_OCI_SECCOMP_H

#include "base/jsonw.h"

/* Writes the value of linux.seccomp in a container's configuration. */
void oci_seccomp_write(struct jsonw *w);

#endif
