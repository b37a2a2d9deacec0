/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c - from options to open files.
 *
 * This code runs with the starter's rights, which are root's under corrald, and before any guest
 * exists. It looks into no file: it copies one, or makes one from what it knows, and what files say
 * is read behind the walls (build.c). Its faults name the file, which is what their reader can act
 * on.
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/sparse.h"
#include "difference.h"
#include "disk_cow.h"
#include "isolate.h"

#define FILES_BACKLOG 64

static int files_open_one(int dir_fd, const char *path, int flags, struct error *err)
{
    if (path == NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT, "a file is not named");
    int fd = openat(dir_fd, path, flags | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, -errno, "%s cannot be opened", path);
    return fd;
}

/* A socket left by an earlier VM of the same directory gives way; a second failure is final. */
static int files_listen(const char *name, struct error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", name);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rv = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
    if (rv < 0 && errno == EADDRINUSE && unlink(name) == 0)
        rv = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
    if (rv < 0 || listen(fd, FILES_BACKLOG) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s cannot be bound", name);
    return TAKE_FD(fd);
}

/* The disk. */

static int files_fill_overlay(const struct options *o, int snapshot_dir, int base_fd, int fd,
                              bool *ret_made)
{
    struct stat base;
    cleanup_close int from = -1;
    if (snapshot_dir >= 0)
        from = openat(snapshot_dir, CTL_OVERLAY_NAME, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
    if (from >= 0)
        return sparse_copy(from, fd);
    if (snapshot_dir >= 0 && errno != ENOENT)
        return -errno;
    if (fstat(base_fd, &base) < 0)
        return -errno;
    uint64_t size = MAX((uint64_t)base.st_size, (uint64_t)o->disk_mb << 20);
    *ret_made = true;
    return disk_cow_format(base_fd, fd, (size + DISK_COW_BLOCK - 1) & ~(DISK_COW_BLOCK - 1ull));
}

static int files_open_overlay(const struct options *o, int snapshot_dir, int base_fd,
                              bool *ret_made, struct error *err)
{
    struct stat own;
    cleanup_close int fd = files_open_one(AT_FDCWD, o->overlay, O_RDWR | O_CREAT, err);
    if (fd < 0)
        return fd;
    int rv = fstat(fd, &own) < 0 ? -errno : 0;
    /* An empty file counts as absent: that is what a start leaves behind that ended right here. */
    if (rv == 0 && own.st_size == 0)
        rv = files_fill_overlay(o, snapshot_dir, base_fd, fd, ret_made);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "%s cannot be made", o->overlay);
    return TAKE_FD(fd);
}

static int files_open_disk(const struct options *o, int snapshot_dir, struct vm_config *c,
                           struct error *err)
{
    /* Under an overlay the image is shared by many VMs: none may be able to write it. */
    int flags = o->overlay != NULL ? O_RDONLY : O_RDWR;
    c->disk_fd = files_open_one(AT_FDCWD, o->disk, flags, err);
    if (c->disk_fd >= 0 && o->overlay != NULL)
        c->overlay_fd = files_open_overlay(o, snapshot_dir, c->disk_fd, &c->overlay_made, err);
    return c->disk_fd < 0 || (o->overlay != NULL && c->overlay_fd < 0) ? -EINVAL : 0;
}

/* What the VM starts from. */

/* State and memory of a fork come as descriptors: there is no name for them. They are mapped, and
 * the VM that wrote them may have kept them: only seals keep it from writing on. */
static int files_inherit(struct vm_config *c, struct error *err)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK;
    c->state_fd = ISOLATE_INHERITED;
    c->memory_fd = ISOLATE_INHERITED + 1;
    c->handed = true;
    if (fcntl(c->state_fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(c->memory_fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, -errno, "descriptors 3 and 4");
    int has = fcntl(c->memory_fd, F_GET_SEALS);
    return has < 0 || (has & seals) != seals
               ? error_set(err, ERROR_INVALID_ARGUMENT, "the memory that was handed is not sealed")
               : 0;
}

static int files_open_state(const struct options *o, int dir, struct vm_config *c,
                            struct error *err)
{
    if (o->handed)
        return files_inherit(c, err);
    c->state_fd = files_open_one(dir, CTL_STATE_NAME, O_RDONLY, err);
    c->memory_fd = c->state_fd < 0 ? -1 : files_open_one(dir, CTL_MEMORY_NAME, O_RDONLY, err);
    return c->memory_fd < 0 ? -EINVAL : 0;
}

/* All through one directory: a name that is changed meanwhile mixes no two snapshots. */
static int files_open_snapshot(const struct options *o, struct vm_config *c, struct error *err)
{
    cleanup_close int dir = files_open_one(AT_FDCWD, o->restore, O_PATH | O_DIRECTORY, err);
    if (dir < 0)
        return dir;
    int rv = files_open_state(o, dir, c, err);
    /* Whether there has to be one, the state file will say. */
    c->base_fd = openat(dir, CTL_BASE_NAME, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    /* Working sets are optional: without them the guest only takes more faults. */
    c->workset_fd = openat(dir, CTL_WORKSET_NAME, O_RDONLY | O_CLOEXEC);
    c->workset_code_fd = openat(dir, CTL_WORKSET_CODE_NAME, O_RDONLY | O_CLOEXEC);
    return rv == 0 ? files_open_disk(o, dir, c, err) : rv;
}

static int files_open_kernel(const struct options *o, struct vm_config *c, struct error *err)
{
    c->kernel_fd = files_open_one(AT_FDCWD, o->kernel, O_RDONLY, err);
    if (c->kernel_fd >= 0 && o->initrd != NULL)
        c->initrd_fd = files_open_one(AT_FDCWD, o->initrd, O_RDONLY, err);
    if (c->kernel_fd < 0 || (o->initrd != NULL && c->initrd_fd < 0))
        return -EINVAL;
    return files_open_disk(o, -1, c, err);
}

static struct vm_config files_config(const struct options *o)
{
    return (struct vm_config){
        .memory = (uint64_t)o->memory_mb << 20,
        .vcpus = (unsigned int)o->vcpus,
        .kvm_fd = -1,
        .kernel_fd = -1,
        .initrd_fd = -1,
        .cmdline = o->cmdline,
        .state_fd = -1,
        .memory_fd = -1,
        .base_fd = -1,
        .workset_fd = -1,
        .workset_code_fd = -1,
        .disk_fd = -1,
        .overlay_fd = -1,
        .disk_limits = {(uint64_t)o->disk_bps, (uint64_t)o->disk_iops},
        .vsock_fd = -1,
        .vsock_path = CTL_VSOCK_NAME,
        .console_fd = o->console ? STDERR_FILENO : -1,
        .pagemap_fd = -1,
        .record = o->record,
        .share_after_s = (unsigned int)o->share_after_s,
        .seccomp = !o->no_jail,
    };
}

int files_open(const struct options *o, struct vm_config *c, int *ret_ctl_fd, struct error *err)
{
    *c = files_config(o);
    int rv = o->restore != NULL ? files_open_snapshot(o, c, err) : files_open_kernel(o, c, err);
    if (rv < 0)
        return rv;
    c->kvm_fd = files_open_one(AT_FDCWD, "/dev/kvm", O_RDWR, err);
    if (c->kvm_fd < 0)
        return c->kvm_fd;
    if (chdir(o->dir) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", o->dir);
    /* The control socket comes last: a client that can connect to it finds the vsock one, too. */
    c->vsock_fd = files_listen(CTL_VSOCK_NAME, err);
    *ret_ctl_fd = c->vsock_fd < 0 ? -1 : files_listen(CTL_SOCKET_NAME, err);
    return *ret_ctl_fd < 0 ? -EINVAL : 0;
}

/* A restored VM does without: its snapshots are complete then. */
int files_open_proc(const struct options *o, int *ret_proc_fd, struct error *err)
{
    *ret_proc_fd = -1;
    if (o->record || o->restore != NULL)
        *ret_proc_fd = files_open_one(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, err);
    return o->record ? MIN(*ret_proc_fd, 0) : 0;
}

int files_open_pagemap(int proc_fd, struct vm_config *c, struct error *err)
{
    cleanup_close int proc = proc_fd;
    if (proc < 0)
        return 0;
    /* The file belongs to root as long as others may not look into this process, which behind walls
     * they may not. */
    if (c->seccomp)
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    c->pagemap_fd = files_open_one(proc, "self/pagemap", O_RDONLY, err);
    if (c->seccomp)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return c->record ? MIN(c->pagemap_fd, 0) : 0;
}

/* What a guest may write to: its disk, and the files of a snapshot. */
uint64_t files_largest(const struct vm_config *c)
{
    const int fds[] = {c->memory_fd, c->base_fd, c->overlay_fd >= 0 ? c->overlay_fd : c->disk_fd};
    /* A restored machine has the memory of its snapshot, whose complete file is open. */
    uint64_t size = c->state_fd < 0 ? c->memory + STATE_TRAILER : 0;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        struct stat st;
        if (fds[i] >= 0 && fstat(fds[i], &st) == 0)
            size = MAX(size, (uint64_t)st.st_size);
    }
    /* Its difference may be of all pages, with a table of them. */
    size += c->state_fd >= 0 ? DIFF_ROOM : 0;
    return MAX(size, (uint64_t)STATE_MAX_SIZE);
}
