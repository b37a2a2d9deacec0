/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.c - what a microVM uses. Processor time and memory come from the control groups, or from
 * /proc where there are none. Only the VMM has the disk's counters, and it answers later: a caller
 * gets the last answer, and an answer older than STATS_AGE_MS is asked for again. A VMM is not
 * asked while nobody reads the counters. A VMM that is slow to answer, because
 * its disk is, is asked again only after it has answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "isolation/kvm/internal.h"

#define STATS_AGE_MS 500u
#define STATS_TEXT   1024

static int stats_read(pid_t pid, const char *name, char text[STATS_TEXT])
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, STATS_TEXT - 1) : -1;
    text[MAX(n, 0)] = '\0';
    return n > 0 ? 0 : -ESRCH;
}

static int stats_of_process(pid_t pid, struct instance_stats *ret)
{
    char text[STATS_TEXT];
    uint64_t user = 0, system = 0, pages = 0;
    if (stats_read(pid, "stat", text) < 0)
        return -ESRCH;
    /* Fields 14 and 15, counted from the end of the name. */
    const char *p = strrchr(text, ')');
    if (p == NULL || sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                            &user, &system) != 2)
        return -EIO;
    if (stats_read(pid, "statm", text) < 0 || sscanf(text, "%*u %" SCNu64, &pages) != 1)
        return -EIO;
    ret->cpu_ns = (user + system) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
    ret->memory_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static void stats_on_reply(struct kvm_ctl *c, const struct kvm_ctl_msg *m, const struct error *err)
{
    struct kvm_instance *o = container_of(c, struct kvm_instance, ctl);
    (void)err;
    o->disk_asking = false;
    if (m == NULL)
        return;
    /* Counters never go back, whatever a VMM says. */
    o->disk_read = MAX(o->disk_read, m->disk_read);
    o->disk_write = MAX(o->disk_write, m->disk_write);
}

void kvm_instance_ask_disk(struct kvm_instance *o)
{
    uint64_t now = uv_now(o->base.driver->loop);
    if (o->disk_asking || (o->disk_asked != 0 && now - o->disk_asked < STATS_AGE_MS) ||
        kvm_ctl_request(&o->ctl, CTL_STATS, NULL, 0, 0, stats_on_reply) < 0)
        return;
    o->disk_asking = true;
    o->disk_asked = now;
}

int kvm_instance_stats(struct instance *instance, struct instance_stats *ret)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    struct instance_stats s = {0};
    if (o->state != KVM_RUNNING)
        return -ESRCH;
    int rv = o->launch.cgroups != NULL ? cgroup_stats(o->launch.cgroups, o->launch.id, &s)
                                       : stats_of_process(instance->handle.pid, &s);
    if (rv < 0)
        return rv;
    kvm_instance_ask_disk(o);
    s.disk_read = o->disk_read;
    s.disk_write = o->disk_write;
    *ret = s;
    return 0;
}

int kvm_instance_oom_kills(struct instance *instance, uint64_t *ret)
{
    struct kvm_instance *o = container_of(instance, struct kvm_instance, base);
    return o->launch.cgroups != NULL ? cgroup_oom_kills(o->launch.cgroups, o->launch.id, ret)
                                     : -EOPNOTSUPP;
}
