/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h - what one microVM is made from, and how corral-vmm is called for it. A template has
 * a directory kvm/ with disk.img, vmlinuz or vmlinux, initrd, perhaps cmdline and snapshot/.
 */
#ifndef CORRAL_ISOLATION_KVM_LAUNCH_H
#define CORRAL_ISOLATION_KVM_LAUNCH_H

#include "isolation/cgroup.h"
#include "isolation/driver.h"
#include "vmm_ctl.h"

/* In a sandbox's directory, and in a snapshot's. The base is what a restored VM's snapshot is a
 * difference to (vmm_ctl.h). It and the disk below the overlay are links, as are the working sets:
 * they outlive the template that the VM started from. */
#define KVM_OVERLAY_NAME CTL_OVERLAY_NAME
#define KVM_BASE_NAME    CTL_BASE_NAME
#define KVM_DISK_NAME    CTL_DISK_NAME

/* In a sandbox's directory: the snapshot that it was put away into; one that is being written; one
 * that is being removed. */
#define KVM_STORED_NAME "stored"
#define KVM_STORED_NEW  KVM_STORED_NAME ".new"
#define KVM_STORED_OLD  KVM_STORED_NAME ".old"

struct kvm_launch {
    char *id, *dir;                    /* owned, as are the next two */
    char *template_dir, *snapshot_dir; /* may be NULL */
    unsigned int vcpus, memory_mb, disk_mb;
    unsigned int disk_bps, disk_iops; /* 0: no limit */
    unsigned int share_after_s;       /* 0: never */
    bool cold, record, stored;
    struct instance_memory *memory; /* a reference; NULL: in the snapshot's directory */
    bool handed;                    /* there was one */
    const char *vmm;
    const struct cgroups *cgroups; /* NULL: none */
    uint32_t uid;                  /* of the VM, user and group; 0: that of the server */
    bool lock;                     /* hold a lock on the directory while this process lives */
    int lock_fd;                   /* -1: not held */

    /* Made by kvm_launch_prepare. */
    char **argv;   /* to be taken; owned until then */
    bool restored; /* it restores a snapshot */
};

/* Copies the strings; -ENOMEM, and kvm_launch_done has to be called all the same. */
int kvm_launch_init(struct kvm_launch *l, const struct instance_spec *spec);
void kvm_launch_done(struct kvm_launch *l);
/* It restores a snapshot that it was told to: no other, and no boot, can take its place. */
static inline bool kvm_launch_must_restore(const struct kvm_launch *l)
{
    return l->snapshot_dir != NULL || l->stored;
}

/* Gives the file that `from` leads to another name: a hard link, or, on another file system, a
 * symbolic one. A link to a link would end with its sandbox. 0 or a negative errno. */
int kvm_launch_link(const char *from, const char *to);

/* Makes the directory, with base and disk in it, and the control groups, and decides between
 * snapshot and boot. Blocks. May be called again. */
int kvm_launch_prepare(struct kvm_launch *l, struct error *err);

#endif
