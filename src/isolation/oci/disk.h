/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - the file system of one container: a sparse image in the sandbox's directory, on a loop
 * device. It bounds bytes and inodes, and it goes with the sandbox: the kernel takes the device
 * back when the last mount namespace that has it mounted has ended.
 *
 * Everything here blocks and is for helper processes.
 */
#ifndef CORRAL_ISOLATION_OCI_DISK_H
#define CORRAL_ISOLATION_OCI_DISK_H

#include "base/error.h"

#define OCI_DISK_IMAGE "disk.img" /* in the sandbox's directory */

/* Makes OCI_DISK_IMAGE in `dir`, empty and `size_mb` MiB large: a copy of the image of that size in
 * the directory `images`, which the first sandbox of a size makes. -EEXIST when `dir` has one. */
int oci_disk_make(int dir, const char *images, unsigned int size_mb, struct error *err);

/* Mounts the image of `dir` at `dir`/`target`, in the caller's own mount namespace, and returns the
 * minor number of its device (block, major 7), or a negative errno. */
int oci_disk_mount(int dir, const char *target, struct error *err);

#endif
