/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.c - copies the disk of a container, out of it and into a new one.
 *
 * What its programs have written is partly in the kernel's memory. They are frozen first; then
 * flushing the loop device brings its file system into the image, and the image is read through the
 * page cache, whether or not the host's disk has it yet. A file system without a journal is whole
 * then, but for files that were deleted while open: their blocks stay taken in the copy.
 *
 * The host's ids in the image are those of the sandbox that made it. They stay, and a mount shifts
 * them for each sandbox that begins with it (rootfs.c).
 *
 * Possible failure modes are: there is no space (the half copy is removed); the process is killed
 * (the driver thaws the container, unless it was paused before, and the owner of the directory
 * removes it).
 */
#include "isolation/oci/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/num.h"
#include "base/sparse.h"
#include "core/file.h"
#include "isolation/oci/disk.h"
#include "isolation/oci/exec.h"
#include "isolation/rmtree.h"

#define COPY_FREEZE_MS 10000
#define COPY_OWNER     "owner"
#define COPY_UPPER     "upper"

static int copy_fail(struct error *err, const char *what)
{
    return error_set_errno(err, errno == ENOSPC ? ERROR_NO_SPACE : ERROR_SANDBOX_FAILED, -errno,
                           "%s", what);
}

static int copy_path(char path[PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* --- the image --- */

/* Whether the loop device `name` has the file, which it then flushes. */
static int copy_flush_device(const char *name, const struct stat *image)
{
    char path[32 + NAME_MAX];
    struct loop_info64 info = {0};
    (void)snprintf(path, sizeof(path), "/dev/%s", name);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
        return 0; /* free, or on its way out */
    if (info.lo_device != image->st_dev || info.lo_inode != image->st_ino)
        return 0;
    /* Of a device that is mounted this syncs the file system, too. */
    return ioctl(fd, BLKFLSBUF, 0) < 0 ? -errno : 1;
}

static int copy_flush(const struct stat *image)
{
    DIR *dir = opendir("/sys/block");
    int r = 0;
    if (dir == NULL)
        return -errno;
    for (struct dirent *e = readdir(dir); e != NULL && r == 0; e = readdir(dir)) {
        if (strncmp(e->d_name, "loop", 4) == 0)
            r = copy_flush_device(e->d_name, image);
    }
    (void)closedir(dir);
    return r == 0 ? -ENODEV : MIN(r, 0);
}

/* `live`: its file system is mounted. */
static int copy_image(const char *from_path, const char *to_path, bool live, struct error *err)
{
    struct stat st;
    cleanup_close int from = open(from_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0 || fstat(from, &st) < 0)
        return copy_fail(err, from_path);
    int r = live ? copy_flush(&st) : 0;
    if (r < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, r, "flush of the disk");
    cleanup_close int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return copy_fail(err, to_path);
    r = sparse_copy(from, to);
    if (r == 0)
        return 0;
    errno = -r;
    return copy_fail(err, OCI_DISK_IMAGE);
}

/* --- a tree --- */

/* With owners, holes, hard links, device nodes (a deletion is one) and the overlay's attributes. */
static int copy_tree(char *from, char *to, struct error *err)
{
    char *argv[] = {"cp", "-a", "--reflink=auto", "--", from, to, NULL};
    int status = oci_exec_runtime(argv, NULL, 0, 0);
    if (status < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, status, "cp");
    return status == 0 ? 0
                       : error_set(err, ERROR_NO_SPACE,
                                   "The sandbox's files cannot be copied (cp ended with status %d)",
                                   status);
}

/* --- who owns what is in it --- */

static int copy_read_owner(const char *dir, unsigned int *ret)
{
    char path[PATH_MAX];
    cleanup_buf struct buf text = {0};
    int64_t owner = 0;
    int r = copy_path(path, dir, COPY_OWNER);
    if (r == 0)
        r = file_read(path, 16, &text);
    if (r == 0 && buf_cstr(&text) == NULL)
        r = -ENOMEM;
    if (r == 0)
        r = num_parse((const char *)text.data, 0, UINT_MAX, &owner);
    if (r == 0)
        *ret = (unsigned int)owner;
    return r;
}

static int copy_write_owner(const char *dir, unsigned int owner, struct error *err)
{
    char path[PATH_MAX], text[16];
    int n = snprintf(text, sizeof(text), "%u", owner);
    int r = copy_path(path, dir, COPY_OWNER);
    if (r == 0)
        r = file_replace(path, text, (size_t)n, 0600);
    return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERROR_NO_SPACE : ERROR_SANDBOX_FAILED, r,
                                   COPY_OWNER)
                 : 0;
}

/* --- out of a sandbox --- */

static int copy_out(const struct oci_spec *spec, struct error *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    unsigned int owner = spec->uid;
    (void)copy_read_owner(spec->dir, &owner); /* of one that began with a snapshot */
    if (copy_path(from, spec->dir, OCI_DISK_IMAGE) < 0 ||
        copy_path(to, spec->snapshot, OCI_DISK_IMAGE) < 0)
        return error_set(err, ERROR_SANDBOX_FAILED, "the directory's path is too long");
    int r = copy_write_owner(spec->snapshot, owner, err);
    if (r < 0)
        return r;
    if (access(from, F_OK) == 0)
        return copy_image(from, to, true, err);
    (void)copy_path(from, spec->dir, "disk/" COPY_UPPER);
    (void)copy_path(to, spec->snapshot, COPY_UPPER);
    return copy_tree(from, to, err);
}

static int copy_make(const struct oci_spec *spec, struct error *err)
{
    if (mkdir(spec->snapshot, 0700) < 0)
        return copy_fail(err, spec->snapshot);
    int r = copy_out(spec, err);
    if (r < 0)
        (void)rmtree(spec->snapshot);
    return r;
}

static int copy_frozen(const struct oci_spec *spec, struct error *err)
{
    struct cgroups cg = {0};
    int r = cgroups_load(&cg);
    if (r == 0)
        r = cgroup_freeze(&cg, spec->id);
    if (r == 0)
        r = cgroup_await_frozen(&cg, spec->id, COPY_FREEZE_MS);
    if (r < 0)
        (void)error_set_errno(err, ERROR_SANDBOX_FAILED, r, "The container does not stand still");
    if (r == 0)
        r = copy_make(spec, err);
    if (spec->paused == 0)
        (void)cgroup_thaw(&cg, spec->id);
    cgroups_done(&cg);
    return r;
}

int oci_copy_main(char **args)
{
    struct oci_spec spec = {0};
    struct error err = {0};
    int r = oci_spec_from_argv(&spec, args, &err);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* The server may have died before that took effect. */
    if (r == 0 && getppid() != (pid_t)spec.parent)
        r = error_set(&err, ERROR_SANDBOX_FAILED, "the server has ended");
    if (r == 0)
        r = copy_frozen(&spec, &err);
    if (r == 0)
        (void)dprintf(STDOUT_FILENO, "ok\n");
    else
        (void)dprintf(STDOUT_FILENO, "%s %s\n", err.code == ERROR_NO_SPACE ? "full" : "error",
                      err.message);
    oci_spec_done(&spec);
    return r == 0 ? 0 : 1;
}

/* --- into a new one --- */

static int copy_in_image(struct oci_spec *spec, char *from, struct error *err)
{
    char to[PATH_MAX];
    struct stat st;
    if (spec->disk_mb == 0)
        return error_set(err, ERROR_UNSUPPORTED,
                         "The snapshot is a disk, and containers here have none of their own");
    if (stat(from, &st) < 0)
        return copy_fail(err, from);
    if (st.st_size != (off_t)spec->disk_mb << 20)
        return error_set(err, ERROR_SANDBOX_FAILED, "The snapshot's disk has another size");
    if (copy_path(to, spec->dir, OCI_DISK_IMAGE) < 0)
        return error_set(err, ERROR_SANDBOX_FAILED, "the directory's path is too long");
    return copy_image(from, to, false, err);
}

static int copy_in_tree(struct oci_spec *spec, int dir, char *from, struct error *err)
{
    char to[64];
    (void)snprintf(to, sizeof(to), "/proc/%d/fd/%d/disk", getpid(), dir);
    if (spec->disk_mb != 0)
        return error_set(err, ERROR_UNSUPPORTED,
                         "The snapshot is of a container without a disk of its own");
    return copy_tree(from, to, err);
}

int oci_copy_restore(struct oci_spec *spec, int dir, struct error *err)
{
    char image[PATH_MAX], tree[PATH_MAX];
    int r = copy_read_owner(spec->snapshot, &spec->owner);
    if (r < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, r, "The snapshot cannot be read");
    if ((spec->owner == 0) != (spec->uid == 0))
        return error_set(err, ERROR_UNSUPPORTED,
                         "Containers %s user ids of their own here, unlike that of the snapshot",
                         spec->uid != 0 ? "have" : "have no");
    r = copy_write_owner(spec->dir, spec->owner, err);
    if (r < 0)
        return r;
    (void)copy_path(image, spec->snapshot, OCI_DISK_IMAGE);
    (void)copy_path(tree, spec->snapshot, COPY_UPPER);
    return access(image, F_OK) == 0 ? copy_in_image(spec, image, err)
                                    : copy_in_tree(spec, dir, tree, err);
}
