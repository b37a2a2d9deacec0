/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - shared by the files of the oci driver only. */
#ifndef CORRAL_ISOLATION_OCI_INTERNAL_H
#define CORRAL_ISOLATION_OCI_INTERNAL_H

#include "isolation/cgroup.h"
#include "isolation/driver.h"
#include "isolation/ending.h"
#include "isolation/helper.h"
#include "isolation/oci/spec.h"
#include "isolation/uids.h"

struct oci_driver {
    struct isolation_driver base;
    char *state_dir;
    char *root; /* STATE/oci */
    char *runtime;
    char *images; /* STATE/disks */
    bool disks;   /* each sandbox has one of its own */
    bool users;   /* each has a user namespace with ids of its own */
    struct uids uids;
    unsigned int disk_bps, disk_iops; /* of each; 0: no limit */
    struct cgroups cgroups;
    /* One of each, so that a sandbox that is slow to clean delays no start. */
    struct helper_runner launches, cleanings, copies;
    unsigned int instances;
};

struct instance *oci_instance_create(struct isolation_driver *d, const struct instance_spec *spec,
                                     const struct instance_events *events, void *ctx);
int oci_instance_start(struct instance *instance);
int oci_instance_adopt(struct instance *instance, const struct instance_handle *handle);
void oci_instance_stop(struct instance *instance);
int oci_instance_pause(struct instance *instance, instance_done done);
int oci_instance_resume(struct instance *instance, instance_done done);
int oci_instance_snapshot(struct instance *instance, const char *dir, instance_done done);
int oci_instance_stats(struct instance *instance, struct instance_stats *ret);
int oci_instance_oom_kills(struct instance *instance, uint64_t *ret);

/* Fills a spec whose strings are owned by it; -ENOMEM. Only `id` and the driver's fields are set.
 */
int oci_spec_init(struct oci_spec *ret, const struct oci_driver *d, const char *id);

#endif
