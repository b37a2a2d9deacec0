/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork.c - what instance_fork has beside the steps of a snapshot: room, and memfds in the place of
 * two files.
 *
 * Pages of a memfd count in the control group of whoever wrote them, which is that of the VM that
 * is forked: its limit rises for the time, and stays risen by what is left there. Whether the host
 * has as much is asked before, and what forks that are under way may still take is taken off.
 *
 * The VMM is not believed: it may keep the memfds, or map them. They are sealed before anybody
 * starts from them, and a mapping that could write makes the seal fail, and with it the fork.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "core/memory.h"
#include "isolation/kvm/cgroup.h"
#include "isolation/kvm/internal.h"

#define FORK_MAX     4u             /* under way at once */
#define FORK_RESERVE (256ull << 20) /* of the host's memory, for everybody else */
#define FORK_SEALS   (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The most that a fork of it takes. Pages that it shares with others by an earlier fork are part of
 * the next one, and count elsewhere; of an adopted VM that is not known. */
static uint64_t fork_most(struct kvm_instance *o)
{
    uint64_t guest = (uint64_t)o->launch.memory_mb << 20;
    struct instance_stats s;
    if (o->adopted || o->launch.handed || kvm_instance_stats(&o->base, &s) < 0)
        return guest;
    return MIN(guest, s.memory_bytes);
}

int kvm_fork_admit(struct kvm_instance *o, uint64_t *ret_room)
{
    struct kvm_driver *d = kvm_instance_driver(o);
    uint64_t room = fork_most(o), has = memory_available();
    if (d->forks >= FORK_MAX)
        return -EAGAIN;
    if (has < FORK_RESERVE || has - FORK_RESERVE < d->fork_room ||
        has - FORK_RESERVE - d->fork_room < room)
        return -EDQUOT;
    d->forks++;
    d->fork_room += room;
    *ret_room = room;
    return 0;
}

void kvm_fork_over(struct kvm_instance *o)
{
    struct kvm_driver *d = kvm_instance_driver(o);
    d->forks--;
    d->fork_room -= o->op.room;
    instance_memory_put(&o->op.memory);
}

static int fork_limit(const struct kvm_instance *o, bool fork)
{
    const struct kvm_launch *l = &o->launch;
    return l->cgroups != NULL ? kvm_cgroup_limit(l->cgroups, l->id, l->memory_mb, fork) : 0;
}

int kvm_fork_open(struct kvm_instance *o)
{
    int rv = fork_limit(o, true);
    if (rv < 0)
        return error_set_errno(&o->op.err, ERROR_SANDBOX_FAILED, rv,
                               "the microVM's limit on memory cannot be raised");
    for (size_t i = 0; i < INSTANCE_MEMORY_FDS; i++) {
        o->op.fds[i] = memfd_create("corral-fork", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (o->op.fds[i] < 0)
            return error_set_errno(&o->op.err, ERROR_SANDBOX_FAILED, -errno, "a memfd");
    }
    return 0;
}

/* What the VMM made room for and did not need is behind `length`. */
static int fork_seal(int fd, uint64_t length)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (length > (uint64_t)st.st_size)
        return -EPROTO;
    if ((length > 0 && ftruncate(fd, (off_t)length) < 0) || fcntl(fd, F_ADD_SEALS, FORK_SEALS) < 0)
        return -errno;
    return 0;
}

int kvm_fork_take(struct kvm_instance *o)
{
    struct kvm_op *op = &o->op;
    int rv = fork_limit(o, false);
    if (rv < 0 && rv != -ENOENT) /* the VM has ended, and its groups have gone */
        log_warn("the limit on memory stays high after a fork", "sandbox=%s errno=%d", o->launch.id,
                 -rv);
    if (op->status < 0)
        return 0; /* for the limit alone */
    for (size_t i = 0; i < INSTANCE_MEMORY_FDS; i++) {
        rv = fork_seal(op->fds[i], i == 1 ? op->length : 0);
        if (rv < 0)
            return error_set_errno(&op->err, ERROR_SANDBOX_FAILED, rv,
                                   "the memory of a fork cannot be sealed");
    }
    op->memory->bytes = op->bytes;
    op->memory->pause_us = op->pause_us;
    for (size_t i = 0; i < INSTANCE_MEMORY_FDS; i++)
        op->memory->fds[i] = TAKE_FD(op->fds[i]);
    return 0;
}
