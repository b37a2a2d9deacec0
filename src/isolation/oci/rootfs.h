/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs.h - the root file system of one container: the template below, a disk of its own on top.
 */
#ifndef CORRAL_ISOLATION_OCI_ROOTFS_H
#define CORRAL_ISOLATION_OCI_ROOTFS_H

#include "isolation/oci/spec.h"

/* Directories that the sandbox's directory needs for it; NULL at the end. */
extern const char *const oci_rootfs_dirs[];

struct oci_rootfs {
    int minor;      /* of the disk's block device (major 7); -1: it has no disk of its own */
    char path[256]; /* of the root, in the mount namespace of this process */
};

/* Mounts it in a mount namespace that this process moves into. With `users`, a user namespace, it
 * belongs to that namespace's root; -1: to the host's. */
int oci_rootfs_mount(const struct oci_spec *spec, int users, struct oci_rootfs *ret,
                     struct error *err);

/* A mount of the template at `path`, of which only the descriptor that is returned knows: read-only
 * and with its owners shifted into the namespace `users`. */
int oci_rootfs_shift(const char *path, int users, struct error *err);

#endif
