/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images.h - TEMPLATE/kvm/, what microVMs start from. guest/templates/build-kvm makes the images,
 * snapshot.c the snapshot, and each notes what it was made of. This module compares the notes with
 * the template as it is now. Whether a snapshot fits this CPU is not decided here: corral-vmm finds
 * out when it restores it.
 */
#ifndef CORRAL_TEMPLATE_IMAGES_H
#define CORRAL_TEMPLATE_IMAGES_H

#include "base/error.h"

enum template_kvm {
    TEMPLATE_KVM_NONE,  /* no images */
    TEMPLATE_KVM_STALE, /* of another root file system, or with another guest tree */
    TEMPLATE_KVM_COLD,  /* images, but no snapshot made of them for the template's sizes */
    TEMPLATE_KVM_WARM,  /* and the snapshot */
};

/* Reads a few small files. `dir` is STATE/templates/NAME. */
enum template_kvm template_kvm_state(const char *dir, const char *guest_dir);

/* Why a template has to be built: "it has no snapshot of these images", for a log line. */
const char *template_kvm_str(enum template_kvm state);

/* What a template's snapshot is taken with. */
struct template_kvm_shape {
    unsigned int vcpus, memory_mb, disk_mb;
    char language[32]; /* of the first kernel that is warm; "" when none is */
};

int template_kvm_shape(const char *dir, struct template_kvm_shape *ret, struct error *err);

/* A descriptor that keeps every other build of the template out until it is closed, or a negative
 * errno. The script build-kvm takes the same lock. */
int template_kvm_lock(const char *dir, struct error *err);

/* Completes the directory of a new snapshot with its snapshot.json, makes everything in it survive
 * a power failure, and exchanges it with the template's in one step. The old snapshot is then in
 * `snapshot_dir`. It may be removed: sandboxes that run on it have its files open. */
int template_kvm_place(const char *dir, const char *snapshot_dir, struct error *err);

#endif
