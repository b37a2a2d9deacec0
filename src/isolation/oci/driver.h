/* SPDX-License-Identifier: Apache-2.0 */
/* driver.h - sandboxes are containers: what programs use that need this driver and no other. */
#ifndef CORRAL_ISOLATION_OCI_DRIVER_H
#define CORRAL_ISOLATION_OCI_DRIVER_H

#include "isolation/driver.h"
#include "isolation/type.h"

extern const struct isolation_type oci_isolation;

/* NULL, with `err` filled, when the machine cannot run it (no runtime, not root, ...). `runtime` is
 * the OCI runtime's name or path ("runc"). */
struct isolation_driver *oci_driver_new(uv_loop_t *loop, const char *state_dir, const char *runtime,
                                        struct error *err);

#endif
