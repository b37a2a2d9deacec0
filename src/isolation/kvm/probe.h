/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - can this machine's /dev/kvm run a sandbox? The probe runs a guest: a virtual CPU in
 * long mode counts down a loop in ring 0. That /dev/kvm opens proves nothing: some hosts emulate
 * the code of a guest's kernel instruction by instruction, a thousand times too slowly.
 */
#ifndef CORRAL_ISOLATION_KVM_PROBE_H
#define CORRAL_ISOLATION_KVM_PROBE_H

#include "base/error.h"

#define KVM_PROBE_MIN_RATE                                                                         \
    50000000u /* guest instructions a second, a twentieth of slow hardware                         \
               */

struct kvm_probe_result {
    uint64_t instructions; /* of the guest; 0 when the loop was not reached */
    uint64_t elapsed_ns;   /* of CPU time */
    uint64_t rate;         /* instructions a second */
};

/* 0 when usable. Otherwise a negative errno and `err` says why: absent (-ENOENT), no permission
 * (-EACCES), a missing capability (-EOPNOTSUPP), too slow (-ERANGE, with the measured rate), hangs
 * (-ETIMEDOUT). *ret is filled either way.
 *
 * Blocks for a second and a half where KVM hangs or is slow, usually for a few milliseconds: to be
 * called before the loop runs. A child process does the work, so that a KVM that hangs costs no
 * more than this. */
int kvm_probe(struct kvm_probe_result *ret, struct error *err);

#endif
