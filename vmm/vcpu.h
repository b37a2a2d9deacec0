/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.h - a virtual processor and the thread that does nothing but run it.
 *
 *   parked --vcpu_resume--> running --vcpu_kick (immediate_exit + signal)--> parked
 *
 * A parked vCPU has finished the I/O instruction it was in, so its registers may be read and
 * written from any thread. While it runs nothing but vcpu_kick may touch it: any ioctl would wait
 * for the guest to leave, which an idle guest never does.
 */
#ifndef CORRAL_VMM_VCPU_H
#define CORRAL_VMM_VCPU_H

#include <pthread.h>

#include "boot.h"
#include "kvm.h"

/* Why a guest cannot continue. */
enum vcpu_end {
    VCPU_END_SHUTDOWN, /* triple fault: a restart, or a kernel that dies */
    VCPU_END_ERROR,    /* KVM cannot run it; detail is an exit reason or an errno */
};

struct vcpu_ops {
    /* An access of 1 to 8 bytes; the owner takes its lock. */
    void (*mmio)(void *ctx, uint64_t addr, void *data, uint32_t len, bool write);
    void (*pio)(void *ctx, uint16_t port, void *data, uint32_t len, bool write);
    void (*ended)(void *ctx, enum vcpu_end end, uint64_t detail);
    /* Called with the lock held when this vCPU has come to rest. */
    void (*parked)(void *ctx);
    void (*thread_start)(void *ctx); /* in the new thread, before anything else */
};

#define VCPU_PREFAULT _IOWR(KVMIO, 0xd5, uint64_t[8]) /* KVM_PRE_FAULT_MEMORY */

struct vcpu {
    int fd; /* owned */
    unsigned int index;
    struct kvm_run *run; /* owned mapping */
    size_t run_size;
    pthread_t thread;
    bool has_thread;
    const struct vcpu_ops *ops;
    void *ctx;
    pthread_mutex_t *lock; /* the VM's; guards the three below */
    bool want_run, parked, quit;
    pthread_cond_t wake;
    uint64_t exits; /* returns of KVM_RUN, written by the thread */
};

int vcpu_init(struct vcpu *v, const struct kvm *k, unsigned int index, const struct vcpu_ops *ops,
              void *ctx, pthread_mutex_t *lock);
/* The state at the first instruction of a kernel; vCPUs other than 0 wait for their start signal.
 */
int vcpu_boot(struct vcpu *v, struct kvm_cpuid2 *cpuid, const struct boot_entry *entry);
/* Puts guest addresses into the tables that the hardware walks before the guest asks for them; the
 * vCPU is parked or has no thread. Advice: kernels before 6.11 cannot. */
void vcpu_prefault(const struct vcpu *v, uint64_t gpa, uint64_t len);
/* Creates the thread, parked. */
int vcpu_start(struct vcpu *v);
/* With the lock held: lets it run, asks it to park (it calls ops->parked when it has). */
void vcpu_resume(struct vcpu *v);
void vcpu_kick(struct vcpu *v);
/* Ends the thread and releases everything. The lock must not be held. */
void vcpu_done(struct vcpu *v);

/* vcpu_state.c: everything the kernel knows of a parked vCPU. */
int vcpu_save(const struct vcpu *v, const struct kvm *k, struct buf *out);
int vcpu_load(struct vcpu *v, struct kvm_cpuid2 *cpuid, struct cursor *c);

/* Once per process: the signal that interrupts KVM_RUN. */
int vcpu_init_signal(void);

#endif
