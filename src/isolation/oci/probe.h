/* SPDX-License-Identifier: Apache-2.0 */
/* probe.h - which of the walls of a container this machine can build. */
#ifndef CORRAL_ISOLATION_OCI_PROBE_H
#define CORRAL_ISOLATION_OCI_PROBE_H

#include <stdint.h>

#include "base/error.h"

struct oci_probe {
    const char *images;    /* a directory to work in; everything is removed again */
    const char *templates; /* of the templates' directories */
    uint32_t uid;          /* the first of a free range of ids */
};

/* 0, or negative with the reason in `err`. Blocking. */

/* Makes a small disk and mounts it where nobody sees it. */
int oci_probe_disk(const struct oci_probe *p, struct error *err);
/* Makes a user namespace, and the mounts that a container in it needs. */
int oci_probe_users(const struct oci_probe *p, struct error *err);

#endif
