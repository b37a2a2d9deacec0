/* SPDX-License-Identifier: Apache-2.0 */
/* build.h - assembles a VM, cold or from a snapshot, out of files that are open already. */
#ifndef CORRAL_VMM_BUILD_H
#define CORRAL_VMM_BUILD_H

#include "vm.h"

/* What to build. File descriptors are consumed by build_vm, whether it succeeds or not. */
struct vm_config {
    uint64_t memory; /* bytes; when restoring, that of the snapshot */
    unsigned int vcpus;
    int kvm_fd;               /* -1: opens /dev/kvm */
    int kernel_fd, initrd_fd; /* initrd_fd may be -1 */
    const char *cmdline;
    int state_fd, memory_fd;         /* restore when state_fd is not -1 */
    int base_fd;                     /* of a difference, or -1 */
    bool handed;                     /* state and memory are a fork's, sealed */
    int workset_fd, workset_code_fd; /* for that; may be -1 */
    int disk_fd, overlay_fd;         /* the image; the overlay over it, or -1 */
    bool overlay_made;               /* it is new, and empty */
    struct virtio_blk_limits disk_limits;
    int vsock_fd;               /* listening socket of vsock.sock, or -1 */
    const char *vsock_path;     /* relative to the working directory; outlives the VM */
    int console_fd;             /* serial output is copied there; -1: no. Not consumed */
    int pagemap_fd;             /* /proc/self/pagemap, or -1. Not consumed */
    bool record;                /* allows WORKSET requests */
    unsigned int share_after_s; /* restored: see reshare.h; 0: never */
    bool seccomp;               /* all threads filter their system calls */
};

/* Builds or restores; the guest has not run yet. `exited` is called once, on the loop, when the VM
 * has ended. Called without the lock. On failure `err` has the reason, and the VM is good for
 * nothing: the process ends. */
int build_vm(struct vm *vm, const struct vm_config *config, void (*exited)(struct vm *vm),
             struct error *err);

#endif
