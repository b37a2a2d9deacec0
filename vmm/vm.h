/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.h - one virtual machine: the only file that knows every part of it.
 *
 * Threads: the caller's runs the loop, which owns all devices; one per vCPU runs the guest and
 * takes `lock` for each access to a device. Everything below is called on the loop's thread; from
 * inside a loop callback, where the lock is held, unless noted.
 */
#ifndef CORRAL_VMM_VM_H
#define CORRAL_VMM_VM_H

#include "bus.h"
#include "layout.h"
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

/* What to build. File descriptors are consumed by vm_init, whether it succeeds or not. */
struct vm_config {
    uint64_t memory; /* bytes; when restoring, that of the snapshot */
    unsigned int vcpus;
    int kvm_fd;               /* -1: opens /dev/kvm */
    int kernel_fd, initrd_fd; /* initrd_fd may be -1 */
    const char *cmdline;
    int state_fd, memory_fd;         /* restore when state_fd is not -1 */
    int workset_fd, workset_code_fd; /* for that; may be -1 */
    struct disk *disk;               /* consumed; required */
    struct virtio_blk_limits disk_limits;
    int vsock_fd;           /* listening socket of vsock.sock, or -1 */
    const char *vsock_path; /* relative to the working directory; outlives the VM */
    int console_fd;         /* serial output is copied there; -1: no. Not consumed */
    int pagemap_fd;         /* /proc/self/pagemap, or -1. Not consumed */
    bool seccomp;           /* vCPU threads filter their system calls */
};

struct vm;

struct vm_slot {
    struct vm *vm;
    struct virtio_dev *dev;
    struct virtio_mmio mmio;
    struct loop_source kick; /* owned eventfd: the driver notifies */
    int irq_fd;              /* owned eventfd: an edge on the device's line */
};

struct vm {
    pthread_mutex_t lock;
    pthread_cond_t rest; /* a vCPU has parked */
    struct loop loop;
    struct kvm kvm;
    struct mem mem;
    struct workset soon, code; /* what it will need at once, and for its first run of code */
    struct bus mmio, pio;
    struct serial serial;
    struct disk *disk; /* owned */
    struct virtio_blk blk;
    struct virtio_vsock vsock;
    struct virtio_rng rng;
    struct virtio_balloon balloon;
    struct vm_slot slot[LAYOUT_VIRTIO_MAX];
    struct loop_timer disk_timer;
    struct loop_source wake; /* owned eventfd: something happened on a vCPU thread */
    struct vcpu vcpu[LAYOUT_MAX_VCPUS];
    unsigned int vcpus;
    struct kvm_cpuid2 *cpuid; /* owned; what the host supports */
    uint32_t cpu;             /* fingerprint */
    bool seccomp;
    int pagemap_fd; /* not owned */
    enum ctl_state state;
    uint64_t clock; /* of the guest at the pause; 0: unknown */
    enum ctl_exit exit;
    char exit_text[SERIAL_LINE];
    void (*exited)(void *ctx); /* set before vm_init; called once, on the loop */
    void *exited_ctx;
    bool exit_told;
};

/* Builds or restores; the guest has not run yet. On failure `err` has the reason and vm_done must
 * still be called. Called without the lock. */
int vm_init(struct vm *vm, const struct vm_config *config, struct error *err);
/* Starts the vCPU threads, at rest. Everything that may fail is behind us then. With the lock held
 * or without. */
int vm_start_threads(struct vm *vm, struct error *err);
/* Ends all threads and releases everything. Without the lock. */
void vm_done(struct vm *vm);

/* 0, -EALREADY when it runs, -EINVAL once it has ended. To the guest a pause takes no time. */
int vm_resume(struct vm *vm);
/* Returns when every vCPU is at rest; -ETIMEDOUT when one does not come. */
int vm_pause(struct vm *vm);
/* Records why the VM ends and stops its vCPUs; only the first reason counts. From any thread. */
void vm_end(struct vm *vm, enum ctl_exit exit, const char *text);

/* snapshot.c. The VM is paused; both files are empty, regular and stay the caller's. */
int vm_save(struct vm *vm, int state_fd, int memory_fd, struct error *err);
int vm_load(struct vm *vm, const struct vm_config *config, struct error *err);
/* Makes the pages of a list ready, and forgets it. The vCPUs are at rest. */
void vm_prefetch(struct vm *vm, struct workset *w);
/* vm.c, for vm_load: the host's CPU features; KVM, vCPUs and devices, once there is memory. */
int vm_fingerprint(struct vm *vm, unsigned int vcpus, struct error *err);
int vm_init_machine(struct vm *vm, const struct vm_config *config, unsigned int vcpus,
                    struct error *err);

/* vm_io.c: guest accesses to devices, from vCPU threads. */
int vm_map_devices(struct vm *vm);
extern const struct vcpu_ops vm_vcpu_ops;

#endif
