/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_cgroup.h - the control groups of a container, in hierarchy version 1 (one directory per
 * controller) and 2 (one directory). The group of sandbox <id> is `corral-<id>` at the top of each
 * hierarchy: no parent directory is left behind when the last sandbox ends.
 */
#ifndef CORRAL_OCI_CGROUP_H
#define CORRAL_OCI_CGROUP_H

#include "driver.h"

#define OCI_CGROUP_MOUNTS 24
#define OCI_CGROUP_PATH   "/corral-%s"

struct oci_cgroups {
    bool unified; /* version 2 has the controllers */
    size_t n;
    char *mounts[OCI_CGROUP_MOUNTS];      /* owned; every hierarchy a runtime may use */
    const char *cpuacct, *memory, *blkio; /* of the above; all the same in version 2 */
};

/* -ENOENT when no hierarchy with a memory controller is mounted. */
int oci_cgroups_load(struct oci_cgroups *ret);
/* Makes the top of a version 2 hierarchy fit to have groups with controllers. It is, except in a
 * container, where it is a group like any other and the container's own processes are in its way:
 * they move into a group `corral-host`. */
int oci_cgroups_prepare(const struct oci_cgroups *cg);
/* Whether a limit on memory and swap together can be set. */
bool oci_cgroups_limit_swap(const struct oci_cgroups *cg);
void oci_cgroups_done(struct oci_cgroups *cg);

bool oci_cgroup_exists(const struct oci_cgroups *cg, const char *id);
int oci_cgroup_stats(const struct oci_cgroups *cg, const char *id, struct iso_stats *ret);
/* True when the kernel killed a process of the sandbox for want of memory. */
bool oci_cgroup_oom(const struct oci_cgroups *cg, const char *id);

/* Blocking: kills everything in the groups and waits until they are empty. */
int oci_cgroup_kill(const struct oci_cgroups *cg, const char *id, unsigned int timeout_ms);

/* Blocking: kills everything in the groups and removes them. -ETIMEDOUT when some process does not
 * go within `timeout_ms`. A group that is not there counts as removed. */
int oci_cgroup_destroy(const struct oci_cgroups *cg, const char *id, unsigned int timeout_ms);

#endif
