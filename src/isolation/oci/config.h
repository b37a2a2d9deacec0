/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - the config.json of one sandbox for an OCI runtime. */
#ifndef CORRAL_ISOLATION_OCI_CONFIG_H
#define CORRAL_ISOLATION_OCI_CONFIG_H

#include "base/buf.h"
#include "isolation/oci/rootfs.h"

/* The descriptors that the agent inherits. */
enum { OCI_FD_LISTEN = 3, OCI_FD_TUN, OCI_FD_FLOWS };

/* What only the launcher knows. */
struct oci_host {
    bool limit_swap; /* the kernel accounts swap, so it can be forbidden */
    const struct oci_rootfs *rootfs;
    const char *users; /* path of its user namespace; NULL: the host's */
};

int oci_config_write(struct buf *out, const struct oci_spec *spec, const struct oci_host *host);

#endif
