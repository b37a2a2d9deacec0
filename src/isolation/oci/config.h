/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - the config.json of one sandbox for an OCI runtime. */
#ifndef CORRAL_ISOLATION_OCI_CONFIG_H
#define CORRAL_ISOLATION_OCI_CONFIG_H

#include "base/buf.h"
#include "isolation/oci/spec.h"

/* The descriptors that the agent inherits. */
enum { OCI_FD_LISTEN = 3, OCI_FD_TUN, OCI_FD_FLOWS };

/* `limit_swap`: the kernel accounts swap, so it can be forbidden. */
int oci_config_write(struct buf *out, const struct oci_spec *spec, bool limit_swap);

#endif
