/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.c - mounts in a mount namespace that only the launcher and then the container have:
 * nothing is ever mounted where the host sees it, and the mounts end with the container.
 *
 * For a user namespace the template is mounted a second time, with its owners shifted into the
 * namespace. The overlay itself is the host's: what it notes in the upper layer is out of the
 * sandbox's reach. A copy that it makes there has the shifted owner, so the disk needs no shift,
 * unless it began as that of another sandbox (copy.h).
 */
#include "isolation/oci/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/base.h"
#include "isolation/oci/disk.h"
#include "isolation/oci/users.h"
#include "isolation/rmtree.h"

#define ROOTFS_DIR "rootfs"

const char *const oci_rootfs_dirs[] = {"disk", "lower", ROOTFS_DIR, NULL};

static int rootfs_fail(struct error *err, const char *what)
{
    return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", what);
}

/* The upper directory's mode becomes that of the sandbox's root. A disk that was another's has
 * both, and its work directory a mark that keeps a "volatile" overlay from being mounted again. */
static int rootfs_upper(int dir, uid_t owner, struct error *err)
{
    static const char *const names[] = {"disk/upper", "disk/work"};
    char work[64];
    (void)snprintf(work, sizeof(work), "/proc/self/fd/%d/%s", dir, names[1]);
    int r = rmtree(work);
    if (r < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, r, "%s", names[1]);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct stat st;
        if (mkdirat(dir, names[i], 0755) < 0 && errno != EEXIST)
            return rootfs_fail(err, names[i]);
        if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            return error_set(err, ERROR_SANDBOX_FAILED, "%s is no directory", names[i]);
    }
    return fchownat(dir, names[0], owner, owner, 0) < 0 ? rootfs_fail(err, names[0]) : 0;
}

/* Linux 5.12, 5.19 to be a layer of an overlay, and the template's file system has to be able to.
 */
int oci_rootfs_shift(const char *path, int users, struct error *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY,
                              .userns_fd = (uint64_t)users};
    cleanup_close int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return rootfs_fail(err, path);
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return rootfs_fail(err, "id-mapped mount of the template");
    return TAKE_FD(tree);
}

/* The overlay has mounts of its own of its layers, and the container needs no other way to them. */
static void rootfs_hide(int dir, const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
    (void)umount2(path, MNT_DETACH);
}

/* The ids on the disk are another sandbox's: they are shifted from there. */
static int rootfs_shift_disk(const struct oci_spec *spec, int dir, struct error *err)
{
    cleanup_close int users = oci_users_shift(spec->owner, spec->uid, err);
    if (users < 0)
        return users;
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)users};
    cleanup_close int tree = open_tree(dir, "disk", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return rootfs_fail(err, "id-mapped mount of the disk");
    if (spec->disk_mb > 0)
        rootfs_hide(dir, "disk");
    return move_mount(tree, "", dir, "disk", MOVE_MOUNT_F_EMPTY_PATH) < 0
               ? rootfs_fail(err, "mount of the disk")
               : 0;
}

/* A descriptor of the lower layer. */
static int rootfs_lower(const struct oci_spec *spec, int dir, int users, struct error *err)
{
    cleanup_close int tree = -1;
    if (users >= 0) {
        tree = oci_rootfs_shift(spec->rootfs, users, err);
        if (tree < 0)
            return tree;
        /* An overlay wants layers that are mounted somewhere. */
        if (move_mount(tree, "", dir, "lower", MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return rootfs_fail(err, "mount of the template");
    }
    int fd = users >= 0 ? openat(dir, "lower", O_PATH | O_DIRECTORY | O_CLOEXEC)
                        : open(spec->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? rootfs_fail(err, spec->rootfs) : fd;
}

/* Descriptors stand for the layers: a path may contain the commas and colons of the option syntax.
 * Nothing in the upper layer outlives the sandbox, so nobody needs it to reach the disk
 * ("volatile"): a sandbox cannot burden the host with fsync. Programs like sudo work where the
 * sandbox's root is nobody outside (`own_root`). */
static int rootfs_overlay(int lower, int dir, const char *target, bool own_root, struct error *err)
{
    const unsigned long flags = own_root ? MS_NODEV : MS_NODEV | MS_NOSUID;
    static const char *const extras[] = {",volatile,redirect_dir=on", ",redirect_dir=on", ""};
    char options[256];
    for (size_t i = 0; i < ARRAY_SIZE(extras); i++) {
        (void)snprintf(options, sizeof(options),
                       "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d/disk/upper,"
                       "workdir=/proc/self/fd/%d/disk/work%s",
                       lower, dir, dir, extras[i]);
        if (mount("corral", target, "overlay", flags, options) == 0)
            return 0;
        if (errno != EINVAL)
            break;
    }
    return rootfs_fail(err, "overlay mount");
}

static bool rootfs_is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* The runtime goes to the root as the namespace's root, who may not enter the state directory. So
 * the root is below a directory that everybody may enter. A small file system covers it, here. */
static int rootfs_open_place(const struct oci_spec *spec, struct oci_rootfs *ret, struct error *err)
{
    static const char *const places[] = {"/mnt", "/media", "/srv", "/home", "/opt", "/boot"};
    struct stat st;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        const char *dir = places[i];
        if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || rootfs_is_below(spec->dir, dir) ||
            rootfs_is_below(spec->guest_dir, dir) || rootfs_is_below(spec->runtime, dir))
            continue;
        if (mount("corral", dir, "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "size=64k,mode=755") <
            0)
            return rootfs_fail(err, dir);
        (void)snprintf(ret->path, sizeof(ret->path), "%s/" ROOTFS_DIR, dir);
        return mkdir(ret->path, 0755) < 0 ? rootfs_fail(err, ret->path) : 0;
    }
    return error_set(err, ERROR_SANDBOX_FAILED, "no directory for the root file system");
}

static int rootfs_place(const struct oci_spec *spec, int users, struct oci_rootfs *ret,
                        struct error *err)
{
    if (users >= 0)
        return rootfs_open_place(spec, ret, err);
    if (snprintf(ret->path, sizeof(ret->path), "%s/" ROOTFS_DIR, spec->dir) >=
        (int)sizeof(ret->path))
        return error_set(err, ERROR_SANDBOX_FAILED, "the directory's path is too long");
    return 0;
}

static int rootfs_mount_layers(const struct oci_spec *spec, int dir, int users,
                               struct oci_rootfs *ret, struct error *err)
{
    cleanup_close int lower = rootfs_lower(spec, dir, users, err);
    if (lower < 0)
        return lower;
    int r = rootfs_upper(dir, users >= 0 ? spec->uid : 0, err);
    return r < 0 ? r : rootfs_overlay(lower, dir, ret->path, users >= 0, err);
}

int oci_rootfs_mount(const struct oci_spec *spec, int users, struct oci_rootfs *ret,
                     struct error *err)
{
    ret->minor = -1;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return rootfs_fail(err, "mount namespace");
    /* Opened here: a descriptor from before names a mount that is not in this namespace. */
    cleanup_close int dir = open(spec->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return rootfs_fail(err, spec->dir);
    int r = rootfs_place(spec, users, ret, err);
    if (r == 0 && spec->disk_mb > 0)
        r = ret->minor = oci_disk_mount(dir, "disk", err);
    bool shifted = users >= 0 && spec->owner != 0 && spec->owner != spec->uid;
    if (r >= 0 && shifted)
        r = rootfs_shift_disk(spec, dir, err);
    if (r >= 0)
        r = rootfs_mount_layers(spec, dir, users, ret, err);
    if (r == 0 && (spec->disk_mb > 0 || shifted))
        rootfs_hide(dir, "disk");
    if (r == 0 && users >= 0)
        rootfs_hide(dir, "lower");
    return r;
}
