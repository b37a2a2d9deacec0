/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.h - one virtual machine: its parts, and its life from the first instruction to the end.
 *
 * Threads: the caller's runs the loop, which owns all devices; one per vCPU runs the guest and
 * takes `lock` for each access to a device. Everything below is called on the loop's thread; from
 * inside a loop callback, where the lock is held, unless noted.
 *
 *   READY --vm_resume--> RUNNING --vm_pause--> PAUSED --vm_resume--> RUNNING
 *   any state --vm_end, then the end of the loop's turn--> EXITED
 */
#ifndef CORRAL_VMM_VM_H
#define CORRAL_VMM_VM_H

#include "bus.h"
#include "difference.h"
#include "layout.h"
#include "reshare.h"
#include "serial.h"
#include "state.h"
#include "vcpu.h"
#include "virtio_balloon.h"
#include "virtio_blk.h"
#include "virtio_mmio.h"
#include "virtio_rng.h"
#include "virtio_vsock.h"
#include "vmm_ctl.h"
#include "workset.h"

struct vm;

struct vm_slot {
    struct vm *vm;
    struct virtio_dev *dev;
    struct virtio_mmio mmio;
    struct loop_source kick; /* owned eventfd: the driver notifies */
    int irq_fd;              /* owned eventfd: an edge on the device's line */
};

/* The complete memory file that a restored machine's memory is a private view of. */
struct vm_base {
    bool known; /* there is one, and it will be there for another restore */
    uint8_t id[STATE_ID_SIZE];
    uint64_t mtime; /* as in struct state_meta */
};

struct vm {
    pthread_mutex_t lock;
    pthread_cond_t rest; /* a vCPU has parked */
    struct loop loop;
    struct kvm kvm;
    struct mem mem;
    struct vm_base base;
    struct diff_room room;     /* for a fork that is under way: snapshot.h */
    struct workset soon, code; /* for the restore, and for the first run of code */
    struct reshare reshare;
    struct bus mmio, pio;
    struct serial serial;
    struct disk *disk; /* owned */
    struct disk_worker disk_worker;
    struct loop_source disk_done; /* the worker's eventfd */
    struct virtio_blk blk;
    struct virtio_vsock vsock;
    struct virtio_rng rng;
    struct virtio_balloon balloon;
    struct vm_slot slot[LAYOUT_VIRTIO_MAX];
    uint32_t irq_due; /* bit per slot: interrupts that leave with the lock, see vm_unlock */
    struct loop_timer disk_timer;
    struct loop_source wake; /* owned eventfd: something happened on a vCPU thread */
    struct vcpu vcpu[LAYOUT_MAX_VCPUS];
    unsigned int vcpus;
    struct kvm_cpuid2 *cpuid; /* owned; what the host supports */
    uint32_t cpu;             /* fingerprint */
    bool seccomp;
    int pagemap_fd;    /* not owned */
    bool record;       /* WORKSET requests are allowed */
    uint32_t pause_ms; /* most that a pause waits for the machine to come to rest */
    enum ctl_state state;
    uint64_t clock;     /* of the guest at the pause; 0: unknown */
    uint64_t paused_at; /* loop_now, when the pause was asked for */
    uint64_t pause_ns;  /* the length of the last one */
    enum ctl_exit exit;
    char exit_text[SERIAL_LINE];
    void (*exited)(struct vm *vm); /* called once, on the loop */
    bool exit_told;
};

/* The empty machine: lock, loop and no part that has been made. 0 or a negative errno. */
int vm_init(struct vm *vm);
/* Puts a device into slot `i`: eventfds for its notifications and its interrupt, tied to KVM. */
int vm_attach(struct vm *vm, unsigned int i, struct virtio_dev *dev);
/* What vCPU `i` of this machine is to be like, by the policy of cpuid.h; to be freed. NULL: no
 * memory. */
struct kvm_cpuid2 *vm_cpuid(const struct vm *vm, unsigned int i);
/* The worker of vm->disk, which the loop hears; without a thread yet. */
int vm_init_disk(struct vm *vm);
/* Starts the threads of the disk and of the vCPUs, the latter at rest. Nothing after this can fail.
 * With the lock held or without. */
int vm_start_threads(struct vm *vm, struct error *err);

/* From any thread. Interrupts that devices asked for in between leave after the lock: a vCPU that
 * gets one at once comes for the lock at once. */
void vm_lock(struct vm *vm);
void vm_unlock(struct vm *vm);

/* 0, -EALREADY when it runs, -EINVAL once it has ended. To the guest a pause takes no time. */
int vm_resume(struct vm *vm);
/* Returns when every vCPU and the disk are at rest. -ETIMEDOUT when one of them does not come: the
 * others run on, and the state is what it was. */
int vm_pause(struct vm *vm);
/* Likewise, and waits that long instead of `pause_ms`. */
int vm_pause_within(struct vm *vm, uint32_t ms);
/* Prepares the pages of a list, and forgets the list. The vCPUs are at rest. */
void vm_prefetch(struct vm *vm, struct workset *w);
/* Records why the VM ends and stops its vCPUs; only the first reason counts. From any thread, with
 * the lock held. */
void vm_end(struct vm *vm, enum ctl_exit exit, const char *text);

/* vm_io.c: guest accesses to devices, from vCPU threads. */
int vm_map_devices(struct vm *vm);
extern const struct vcpu_ops vm_vcpu_ops;

#endif
