/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.h - which processor features a guest sees: what the host's KVM supports, minus what this
 * VMM does not carry through a snapshot, plus topology. One table, a reason per row.
 */
#ifndef CORRAL_VMM_CPUID_H
#define CORRAL_VMM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "base/base.h"

#define CPUID_MAX 256u /* entries; the kernel's own limit is 256 */

/* A table with room for CPUID_MAX entries; free() releases it. NULL when memory ran out. */
struct kvm_cpuid2 *cpuid_new(void);

/* Turns the supported features into those of one vCPU. */
void cpuid_policy(struct kvm_cpuid2 *t, unsigned int vcpu, unsigned int vcpus, bool tsc_deadline);

/* A number that two hosts share only when a snapshot of one can run on the other: over the table
 * of vCPU 0 as cpuid_policy made it. */
uint32_t cpuid_fingerprint(const struct kvm_cpuid2 *t);

/* The extended state components (XCR0) of the table, at most x87, SSE and AVX. */
uint64_t cpuid_xcr0(const struct kvm_cpuid2 *t);

#endif
