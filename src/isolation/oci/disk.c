/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.c - makes, attaches and mounts the image of one container.
 *
 * Making a file system takes a program and tens of milliseconds; copying the 120 KiB that an empty
 * one consists of takes less than one. So there is one image of each size, and sandboxes get
 * copies. Its inode tables are holes, which the kernel is told not to fill ("noinit_itable"), and
 * it has no journal: nobody mounts it a second time.
 */
#include "isolation/oci/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/sparse.h"
#include "isolation/oci/exec.h"

#define DISK_CONTROL     "/dev/loop-control"
#define DISK_TRIES       256 /* others take devices at the same time */
#define DISK_MAKE_MS     20000
#define DISK_NEW         "new.img"
#define DISK_IMAGES_MAX  64 /* sizes of which an empty one is kept */
#define DISK_INODES_MAX  (1u << 20)
#define DISK_INODE_KB    16 /* of the disk, for each inode */
#define DISK_MOUNT_FLAGS (MS_NODEV | MS_NOSUID)
/* Space that a sandbox frees goes back to the host ("discard"). What it writes need not reach the
 * host's disk at any time ("nobarrier"). */
#define DISK_MOUNT_OPTIONS "noinit_itable,discard,nobarrier"

/* All of them named: the defaults of a newer mke2fs include some that need a journal. */
static char disk_features[] =
    "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super2,large_file,huge_file,"
    "dir_nlink,extra_isize,uninit_bg";
static char disk_extended[] =
    "num_backup_sb=0,lazy_itable_init=1,nodiscard,packed_meta_blocks=1,root_owner=0:0";

static int disk_fail(struct error *err, const char *what)
{
    return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", what);
}

static int disk_format(int dir, struct error *err)
{
    char path[64], inodes[16];
    struct stat st;
    if (fstatat(dir, DISK_NEW, &st, 0) < 0)
        return disk_fail(err, DISK_NEW);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d/" DISK_NEW, getpid(), dir);
    (void)snprintf(inodes, sizeof(inodes), "%llu",
                   MIN((unsigned long long)st.st_size / 1024 / DISK_INODE_KB,
                       (unsigned long long)DISK_INODES_MAX));
    char *argv[] = {"/sbin/mke2fs", "-q", "-F",          "-t",  "ext4", "-b",   "4096",
                    "-m",           "0",  "-I",          "256", "-N",   inodes, "-O",
                    disk_features,  "-E", disk_extended, path,  NULL};
    int status = oci_exec_runtime(argv, NULL, 0, DISK_MAKE_MS);
    if (status < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, status, "%s", argv[0]);
    return status == 0
               ? 0
               : error_set(err, ERROR_SANDBOX_FAILED, "%s ended with status %d", argv[0], status);
}

static int disk_make_new(int dir, off_t size, struct error *err)
{
    cleanup_close int fd = openat(dir, DISK_NEW, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, size) < 0)
        return disk_fail(err, DISK_NEW);
    int r = disk_format(dir, err);
    if (r < 0)
        return r;
    return fsync(fd) < 0 ? disk_fail(err, DISK_NEW) : 0;
}

static size_t disk_count(const char *images)
{
    size_t n = 0;
    DIR *dir = opendir(images);
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

/* The image `name` of the images is made, or the disk itself where there are too many of them
 * already: 1. Where two sandboxes make the first image of a size, the later one replaces that of
 * the other by its equal. */
static int disk_make_first(int dir, int parent, const char *images, const char *name, off_t size,
                           struct error *err)
{
    int r = disk_make_new(dir, size, err);
    if (r < 0)
        return r;
    bool keep = disk_count(images) < DISK_IMAGES_MAX;
    if (renameat(dir, DISK_NEW, keep ? parent : dir, keep ? name : OCI_DISK_IMAGE) < 0)
        return disk_fail(err, name);
    return keep ? 0 : 1;
}

int oci_disk_make(int dir, const char *images, unsigned int size_mb, struct error *err)
{
    const off_t size = (off_t)size_mb << 20;
    char name[32];
    struct stat st = {0};
    (void)snprintf(name, sizeof(name), "ext4-%u", size_mb);
    cleanup_close int parent = open(images, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return disk_fail(err, images);
    int r = 0;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size != size)
        r = disk_make_first(dir, parent, images, name, size, err);
    if (r != 0)
        return MIN(r, 0);
    cleanup_close int from = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return disk_fail(err, name);
    cleanup_close int to = openat(dir, OCI_DISK_IMAGE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                                  0600);
    if (to < 0)
        return disk_fail(err, OCI_DISK_IMAGE);
    r = sparse_copy(from, to);
    return r < 0 ? error_set_errno(err, ERROR_SANDBOX_FAILED, r, OCI_DISK_IMAGE) : 0;
}

/* A descriptor of the device, which lives as long as it is open or mounted. */
static int disk_attach(int image, int *ret_minor)
{
    const struct loop_config config = {.fd = (uint32_t)image,
                                       .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    cleanup_close int control = open(DISK_CONTROL, O_RDWR | O_CLOEXEC);
    if (control < 0)
        return -errno;
    for (int i = 0; i < DISK_TRIES; i++) {
        char path[32];
        int minor = ioctl(control, LOOP_CTL_GET_FREE);
        if (minor < 0)
            return -errno;
        (void)snprintf(path, sizeof(path), "/dev/loop%d", minor);
        cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            *ret_minor = minor;
            return TAKE_FD(fd);
        }
        /* Another was faster, or the device of one that has just ended is on its way out. */
        if (errno != EBUSY && errno != ENXIO)
            return -errno;
    }
    return -EBUSY;
}

int oci_disk_mount(int dir, const char *target, struct error *err)
{
    char device[32], path[64];
    int minor = -1;
    cleanup_close int image = openat(dir, OCI_DISK_IMAGE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (image < 0)
        return disk_fail(err, OCI_DISK_IMAGE);
    cleanup_close int loop = disk_attach(image, &minor);
    if (loop < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, loop, "loop device");
    (void)snprintf(device, sizeof(device), "/dev/loop%d", minor);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, target);
    if (mount(device, path, "ext4", DISK_MOUNT_FLAGS, DISK_MOUNT_OPTIONS) < 0)
        return disk_fail(err, "mount of the disk");
    return minor;
}
