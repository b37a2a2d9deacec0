/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - the control groups of a sandbox, in hierarchy version 1 (one directory per
 * controller) and 2 (one directory). The group of sandbox <id> is `corral-<id>` at the top of each
 * hierarchy: no parent directory is left behind when the last sandbox ends.
 */
#ifndef CORRAL_ISOLATION_CGROUP_H
#define CORRAL_ISOLATION_CGROUP_H

#include "isolation/driver.h"

#define CGROUP_MOUNTS 24
#define CGROUP_PATH   "/corral-%s"

struct cgroups {
    bool unified; /* version 2 has the controllers */
    size_t n;
    char *mounts[CGROUP_MOUNTS]; /* owned; every hierarchy a runtime may use */
    /* Of the above; all the same in version 2. */
    const char *cpuacct, *memory, *blkio, *freezer;
};

/* -ENOENT when no hierarchy with a memory controller is mounted. */
int cgroups_load(struct cgroups *ret);
/* Makes the top of a version 2 hierarchy fit to have groups with controllers. Nothing has
 * to be done on a host. In a container the top is a group like any other, and the kernel passes
 * controllers on to children only from a group without processes: the container's own ones move
 * into a group `corral-host`. */
int cgroups_prepare(const struct cgroups *cg);
/* Whether a limit on memory and swap together can be set. */
bool cgroups_limit_swap(const struct cgroups *cg);
void cgroups_done(struct cgroups *cg);

bool cgroup_exists(const struct cgroups *cg, const char *id);
int cgroup_stats(const struct cgroups *cg, const char *id, struct instance_stats *ret);
/* Bytes of it that belong to no process: of memfds, as long as anybody has them. 0, or a negative
 * errno. */
int cgroup_shared_memory(const struct cgroups *cg, const char *id, uint64_t *ret);
/* Sets the limit on its memory, and on that with swap where there is one. 0, or a negative errno.
 */
int cgroup_limit_memory(const struct cgroups *cg, const char *id, uint64_t bytes);
/* How many processes of the sandbox the kernel killed for want of memory; 0, or a negative errno.
 */
int cgroup_oom_kills(const struct cgroups *cg, const char *id, uint64_t *ret);
/* True when there is one. */
bool cgroup_oom(const struct cgroups *cg, const char *id);

/* Stops every process of the sandbox where it is, or lets all go on. Neither call waits. 0, or a
 * negative errno; -ENOENT also when the machine has no freezer. */
int cgroup_freeze(const struct cgroups *cg, const char *id);
int cgroup_thaw(const struct cgroups *cg, const char *id);
/* Blocking: waits until all of them stand still. 0, -ETIMEDOUT, or another negative errno. */
int cgroup_await_frozen(const struct cgroups *cg, const char *id, unsigned int timeout_ms);

/* Blocking: kills everything in the groups and waits until they are empty. */
int cgroup_kill(const struct cgroups *cg, const char *id, unsigned int timeout_ms);

/* Blocking: kills everything in the groups and removes them. -ETIMEDOUT when some process does not
 * go within `timeout_ms`. A group that is not there counts as removed. */
int cgroup_destroy(const struct cgroups *cg, const char *id, unsigned int timeout_ms);

#endif
