/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.h - one virtual machine of the kernel: memory slots, interrupts, clock. Only this file,
 * vcpu.c and vcpu_state.c call KVM. */
#ifndef CORRAL_VMM_KVM_H
#define CORRAL_VMM_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "base/error.h"
#include "mem.h"

struct buf;
struct cursor;

struct kvm {
    int fd, vm_fd;     /* owned */
    size_t run_size;   /* of each vCPU's shared page(s) */
    bool tsc_deadline; /* the local timer can do it */
};

/* Takes ownership of `fd`, an open /dev/kvm, or opens it when `fd` is -1. */
int kvm_open(struct kvm *k, int fd, struct error *err);
/* Checks that this KVM can do all that is needed. A restore skips it: a snapshot for this CPU could
 * not exist otherwise. */
int kvm_check(const struct kvm *k, struct error *err);
/* The VM with its interrupt controllers. */
int kvm_create(struct kvm *k, const struct mem *mem, struct error *err);
void kvm_done(struct kvm *k);

int kvm_irqfd(const struct kvm *k, int fd, uint32_t gsi);
/* Every 32-bit write to `addr` signals `fd` instead of ending KVM_RUN. */
int kvm_ioeventfd(const struct kvm *k, int fd, uint64_t addr);
void kvm_pulse(const struct kvm *k, uint32_t gsi);

/* What KVM can offer a guest on this host; free() releases it. */
struct kvm_cpuid2 *kvm_supported_cpuid(const struct kvm *k);

/* The guest's clock, ns. Set to an earlier value, it continues from there as if no time had passed.
 */
int kvm_get_clock(const struct kvm *k, uint64_t *ret);
int kvm_set_clock(const struct kvm *k, uint64_t ns);

int kvm_save(const struct kvm *k, struct buf *out);
int kvm_load(const struct kvm *k, struct cursor *c);

#endif
