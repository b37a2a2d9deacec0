/* SPDX-License-Identifier: Apache-2.0 */
/* users.h - the user namespace of one container, made before the container: its layers and its
 * network have to belong to it. */
#ifndef CORRAL_ISOLATION_OCI_USERS_H
#define CORRAL_ISOLATION_OCI_USERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Makes a user namespace in which the ids 0 to 65535 are the host's `first` and following, and with
 * `network` a network namespace that belongs to it, into which this process moves. Returns a
 * descriptor of the user namespace, which keeps it; or a negative errno with `err` filled. */
int oci_users_make(uint32_t first, bool network, struct error *err);

/* Makes a user namespace for an id-mapped mount: the ids `from` and following of a file system
 * become `to` and following, and root's stays, as whom the overlay makes files of its own. Returns
 * a descriptor, or a negative errno with `err` filled. */
int oci_users_shift(uint32_t from, uint32_t to, struct error *err);

/* The host's id of the namespace's root; 0 when it is that of the host, or cannot be read. */
uint32_t oci_users_of(int32_t pid);

#endif
