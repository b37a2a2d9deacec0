/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h - makes the control groups of a microVM; cgroup.h reads and removes them. */
#ifndef CORRAL_ISOLATION_KVM_CGROUP_H
#define CORRAL_ISOLATION_KVM_CGROUP_H

#include "isolation/cgroup.h"

/* What a VMM may use beside the guest's memory: its own, buffers of connections, and the kernel's
 * page tables for both, which grow with the guest. */
#define KVM_CGROUP_OVERHEAD_MB(memory_mb) (64 + (memory_mb) / 64)

/* Once, at start: has groups at the top of a version 2 hierarchy get the controllers. */
int kvm_cgroup_prepare(const struct cgroups *cg);

/* Blocking. *ret_dirs is "DIR:DIR...", what corral-vmm is to enter; owned by the caller. What was
 * made before a failure stays for cgroup_destroy. */
int kvm_cgroup_make(const struct cgroups *cg, const char *id, unsigned int vcpus,
                    unsigned int memory_mb, char **ret_dirs, struct error *err);

#endif
