/* SPDX-License-Identifier: Apache-2.0 */
/* driver.h - sandboxes are microVMs: what programs use that need this driver and no other. */
#ifndef CORRAL_ISOLATION_KVM_DRIVER_H
#define CORRAL_ISOLATION_KVM_DRIVER_H

#include "isolation/driver.h"
#include "isolation/type.h"

extern const struct isolation_type kvm_isolation;

/* NULL, with `err` filled, when the machine cannot run it. `vmm` is the path of corral-vmm. Whether
 * /dev/kvm is any good is the question of kvm_probe, which is not asked here. */
struct isolation_driver *kvm_driver_new(uv_loop_t *loop, const char *state_dir, const char *vmm,
                                        struct error *err);

#endif
