/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h - makes the control groups of a microVM; isolation/cgroup.h reads and removes them. */
#ifndef CORRAL_ISOLATION_KVM_CGROUP_H
#define CORRAL_ISOLATION_KVM_CGROUP_H

#include "isolation/cgroup.h"

/* What a VMM may use in addition to the guest's memory: its own, buffers of connections, and page
 * tables of the kernel, which grow with the guest. */
#define KVM_CGROUP_OVERHEAD_MB(memory_mb) (64 + (memory_mb) / 64)

/* What the memfds of a fork have beside pages, in bytes: the state and the table of runs. */
#define KVM_CGROUP_FORK (8ull << 20)

/* Once, at start: lets groups at the top of a version 2 hierarchy have controllers. */
int kvm_cgroup_prepare(const struct cgroups *cg);

/* Blocking. *ret_dirs is "DIR:DIR...", the groups that corral-vmm has to enter; owned by the
 * caller. What was made before a failure stays for cgroup_destroy. */
int kvm_cgroup_make(const struct cgroups *cg, const char *id, unsigned int vcpus,
                    unsigned int memory_mb, char **ret_dirs, struct error *err);

/* Blocking. The limit on memory that kvm_cgroup_make has set, and more for what the VM has given to
 * others as memfds, which count here as long as one of these lives; with `fork` also for one more,
 * which has at most as many pages as the guest. 0, or a negative errno. */
int kvm_cgroup_limit(const struct cgroups *cg, const char *id, unsigned int memory_mb, bool fork);

#endif
