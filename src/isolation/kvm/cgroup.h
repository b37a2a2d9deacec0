/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h - makes the control groups of a microVM; isolation/cgroup.h reads and removes them. */
#ifndef CORRAL_ISOLATION_KVM_CGROUP_H
#define CORRAL_ISOLATION_KVM_CGROUP_H

#include "isolation/cgroup.h"

/* What a VMM may use in addition to the guest's memory: its own, buffers of connections, and page
 * tables of the kernel, which grow with the guest. */
#define KVM_CGROUP_OVERHEAD_MB(memory_mb) (64 + (memory_mb) / 64)

/* Once, at start: lets groups at the top of a version 2 hierarchy have controllers. */
int kvm_cgroup_prepare(const struct cgroups *cg);

/* Blocking. *ret_dirs is "DIR:DIR...", the groups that corral-vmm has to enter; owned by the
 * caller. What was made before a failure stays for cgroup_destroy. */
int kvm_cgroup_make(const struct cgroups *cg, const char *id, unsigned int vcpus,
                    unsigned int memory_mb, char **ret_dirs, struct error *err);

#endif
