/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c - makes a group in every hierarchy that has one of the files below, and fills them in.
 *
 * The VMM enters the groups before the guest runs, and the guest's memory and threads are the
 * VMM's: a limit bounds whatever a guest does, also through a hole in the VMM. A hierarchy that is
 * read-only is skipped. Without a limit on memory the start fails, because one guest could then
 * take the whole machine down; without another controller the sharing is only less fair.
 */
#include "isolation/kvm/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"

#define GROUP_PERIOD_US   100000u
#define GROUP_EXTRA_TASKS 16u /* beside the vCPUs: the loop, and threads of the kernel's own */

enum group_value {
    VALUE_NONE,
    VALUE_MEMORY,
    VALUE_ZERO,
    VALUE_ONE,
    VALUE_CPU,
    VALUE_PERIOD,
    VALUE_QUOTA,
    VALUE_TASKS
};

/* A group is made in each hierarchy where one of these files appears in it. */
static const struct {
    const char *file;
    enum group_value value; /* VALUE_NONE: it is there to be read */
} group_files[] = {
    /* Version 2. */
    {"memory.max", VALUE_MEMORY},
    {"memory.swap.max", VALUE_ZERO},
    {"memory.oom.group", VALUE_ONE},
    {"cpu.max", VALUE_CPU},
    {"pids.max", VALUE_TASKS}, /* of version 1, too */
    /* Version 1. */
    {"memory.limit_in_bytes", VALUE_MEMORY},
    {"memory.memsw.limit_in_bytes", VALUE_MEMORY},
    {"cpu.cfs_period_us", VALUE_PERIOD},
    {"cpu.cfs_quota_us", VALUE_QUOTA},
    {"cpuacct.usage", VALUE_NONE},
    {"blkio.throttle.io_service_bytes", VALUE_NONE},
};

int kvm_cgroup_prepare(const struct cgroups *cg)
{
    static const char *const controllers[] = {"+memory", "+cpu", "+io", "+pids"};
    char path[PATH_MAX];
    int rv = cgroups_prepare(cg);
    if (rv < 0 || !cg->unified)
        return rv;
    (void)snprintf(path, sizeof(path), "%s/cgroup.subtree_control", cg->memory);
    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
        cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
        /* The kernel may lack a controller. Only memory is needed, and kvm_cgroup_make checks it.
         */
        if (fd < 0 || write(fd, controllers[i], strlen(controllers[i])) < 0)
            continue;
    }
    return 0;
}

static unsigned long long group_memory(unsigned int memory_mb)
{
    return ((unsigned long long)memory_mb + KVM_CGROUP_OVERHEAD_MB(memory_mb)) << 20;
}

static void group_print(char *text, size_t cap, enum group_value value, unsigned int vcpus,
                        unsigned int memory_mb)
{
    const unsigned long long numbers[] = {
        [VALUE_NONE] = 0,
        [VALUE_MEMORY] = group_memory(memory_mb),
        [VALUE_ZERO] = 0,
        [VALUE_ONE] = 1,
        [VALUE_CPU] = (unsigned long long)vcpus * GROUP_PERIOD_US,
        [VALUE_PERIOD] = GROUP_PERIOD_US,
        [VALUE_QUOTA] = (unsigned long long)vcpus * GROUP_PERIOD_US,
        [VALUE_TASKS] = vcpus + GROUP_EXTRA_TASKS,
    };
    if (value == VALUE_CPU)
        (void)snprintf(text, cap, "%llu %u", numbers[value], GROUP_PERIOD_US);
    else
        (void)snprintf(text, cap, "%llu", numbers[value]);
}

/* How many of the files there are; all that take a value have got it. */
static int group_fill(const char *group, unsigned int vcpus, unsigned int memory_mb, bool *memory)
{
    char path[PATH_MAX], text[64];
    int found = 0;
    for (size_t i = 0; i < ARRAY_SIZE(group_files); i++) {
        if (snprintf(path, sizeof(path), "%s/%s", group, group_files[i].file) >= PATH_MAX)
            return -ENAMETOOLONG;
        if (access(path, F_OK) < 0)
            continue;
        found++;
        if (group_files[i].value == VALUE_NONE)
            continue;
        group_print(text, sizeof(text), group_files[i].value, vcpus, memory_mb);
        cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, text, strlen(text)) < 0)
            return -errno;
        *memory = *memory || group_files[i].value == VALUE_MEMORY;
    }
    return found;
}

int kvm_cgroup_make(const struct cgroups *cg, const char *id, unsigned int vcpus,
                    unsigned int memory_mb, char **ret_dirs, struct error *err)
{
    cleanup_buf struct buf dirs = {0};
    bool memory = false;
    for (size_t i = 0; i < cg->n; i++) {
        char group[PATH_MAX];
        if (snprintf(group, sizeof(group), "%s" CGROUP_PATH, cg->mounts[i], id) >= PATH_MAX)
            return error_set_errno(err, ERROR_SANDBOX_FAILED, -ENAMETOOLONG, "control group");
        if (mkdir(group, 0755) < 0 && errno != EEXIST)
            continue; /* a hierarchy that is read-only to us, or one without need for it */
        int rv = group_fill(group, vcpus, memory_mb, &memory);
        if (rv < 0)
            return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "%s", group);
        if (rv == 0)
            (void)rmdir(group);
        else
            (void)buf_printf(&dirs, "%s%s", dirs.len > 0 ? ":" : "", group);
    }
    if (!memory)
        return error_set(err, ERROR_SANDBOX_FAILED, "no control group limits memory");
    char *text = buf_cstr(&dirs);
    *ret_dirs = text != NULL ? strdup(text) : NULL;
    return *ret_dirs != NULL ? 0 : error_set_errno(err, ERROR_SANDBOX_FAILED, -ENOMEM, "dirs");
}

int kvm_cgroup_limit(const struct cgroups *cg, const char *id, unsigned int memory_mb, bool fork)
{
    uint64_t shared = 0, more = fork ? ((uint64_t)memory_mb << 20) + KVM_CGROUP_FORK : 0;
    int rv = cgroup_shared_memory(cg, id, &shared);
    return rv < 0 ? rv : cgroup_limit_memory(cg, id, group_memory(memory_mb) + shared + more);
}
