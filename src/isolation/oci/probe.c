/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c - tries each wall in a process of its own, whose mount namespace ends with it. A file
 * that exists, or a version of the kernel, proves nothing: a container that the server itself may
 * run in has devices, calls and file systems taken away.
 */
#include "isolation/oci/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/base.h"
#include "isolation/oci/disk.h"
#include "isolation/oci/rootfs.h"
#include "isolation/oci/users.h"
#include "isolation/rmtree.h"

#define PROBE_DIR  "probe"
#define PROBE_DISK 16 /* MiB */

static int probe_errno(struct error *err, const char *what)
{
    return error_set_errno(err, ERROR_UNAVAILABLE, -errno, "%s", what);
}

/* `path` is a directory for it, and so for the next. */
static int probe_disk(const struct oci_probe *p, const char *path, struct error *err)
{
    cleanup_close int early = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = early < 0 ? probe_errno(err, path) : oci_disk_make(early, p->images, PROBE_DISK, err);
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return probe_errno(err, "mount namespace");
    cleanup_close int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || mkdirat(dir, "disk", 0700) < 0)
        return probe_errno(err, path);
    return oci_disk_mount(dir, "disk", err);
}

/* Every template has to be on a file system that can show shifted owners. */
static int probe_templates(const struct oci_probe *p, int users, struct error *err)
{
    char path[PATH_MAX];
    int r = 0;
    DIR *dir = opendir(p->templates);
    if (dir == NULL)
        return 0;
    for (struct dirent *e = readdir(dir); e != NULL && r >= 0; e = readdir(dir)) {
        if (e->d_name[0] == '.' ||
            snprintf(path, sizeof(path), "%s/%s/rootfs", p->templates, e->d_name) >=
                (int)sizeof(path) ||
            access(path, F_OK) < 0)
            continue;
        cleanup_close int tree = oci_rootfs_shift(path, users, err);
        r = tree < 0 ? tree : 0;
        if (r < 0)
            error_wrap(err, "%s", path);
    }
    (void)closedir(dir);
    return r;
}

/* The kernel lets a user namespace mount these two only where it sees all of them already. */
static int probe_inside(const char *root, struct error *err)
{
    static const char *const types[] = {"proc", "sysfs"};
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", root, types[i]);
        if (mkdir(path, 0755) < 0)
            return probe_errno(err, "directory in the root file system");
        if (mount(types[i], path, types[i], MS_NODEV | MS_NOSUID | MS_NOEXEC, NULL) < 0)
            return error_set_errno(err, ERROR_UNAVAILABLE, -errno, "mount of %s", types[i]);
    }
    return 0;
}

static int probe_enter(const char *root, int users, struct error *err)
{
    if (setns(users, CLONE_NEWUSER) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ||
        unshare(CLONE_NEWNS | CLONE_NEWPID) < 0)
        return probe_errno(err, "user namespace");
    struct error *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return probe_errno(err, "memory");
    *shared = (struct error){0};
    int status = 0;
    pid_t pid = fork(); /* the first process of the new pid namespace */
    if (pid == 0)
        _exit(probe_inside(root, shared) < 0 ? 1 : 0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return probe_errno(err, "fork");
    *err = *shared;
    return status == 0 ? 0 : -EPERM;
}

static int probe_users(const struct oci_probe *p, const char *path, struct error *err)
{
    char lower[PATH_MAX];
    struct oci_rootfs root;
    (void)snprintf(lower, sizeof(lower), "%s/template", path);
    const struct oci_spec spec = {.dir = (char *)(uintptr_t)path,
                                  .rootfs = lower,
                                  .guest_dir = "",
                                  .runtime = "",
                                  .uid = p->uid};
    cleanup_close int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || mkdirat(dir, "template", 0755) < 0)
        return probe_errno(err, path);
    for (const char *const *name = oci_rootfs_dirs; *name != NULL; name++) {
        if (mkdirat(dir, *name, 0755) < 0)
            return probe_errno(err, *name);
    }
    cleanup_close int users = oci_users_make(p->uid, true, err);
    int r = users < 0 ? users : oci_rootfs_mount(&spec, users, &root, err);
    if (r >= 0)
        r = probe_templates(p, users, err);
    return r < 0 ? r : probe_enter(root.path, users, err);
}

/* The child's reason comes through a pipe. */
static int probe_in_child(int (*probe)(const struct oci_probe *p, const char *path,
                                       struct error *err),
                          const struct oci_probe *p, const char *path, struct error *err)
{
    int ends[2], status = 0;
    char text[sizeof(err->message)] = "";
    if (pipe2(ends, O_CLOEXEC) < 0)
        return probe_errno(err, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        struct error why = {0};
        int r = probe(p, path, &why);
        if (r < 0 && write(ends[1], why.message, strlen(why.message)) < 0)
            _exit(2);
        _exit(r < 0 ? 1 : 0);
    }
    (void)close(ends[1]);
    cleanup_close int in = ends[0];
    ssize_t n = pid < 0 ? 0 : read(in, text, sizeof(text) - 1);
    text[MAX(n, 0)] = '\0';
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return probe_errno(err, "fork");
    return status == 0 ? 0 : error_set(err, ERROR_UNAVAILABLE, "%s", text);
}

static int probe_one(int (*probe)(const struct oci_probe *p, const char *path, struct error *err),
                     const struct oci_probe *p, struct error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/" PROBE_DIR, p->images) >= (int)sizeof(path))
        return error_set_errno(err, ERROR_UNAVAILABLE, -ENAMETOOLONG, "%s", p->images);
    (void)rmtree(path); /* of a server that was killed in here */
    if (mkdir(path, 0700) < 0)
        return probe_errno(err, path);
    int r = probe_in_child(probe, p, path, err);
    (void)rmtree(path);
    return r;
}

int oci_probe_disk(const struct oci_probe *p, struct error *err)
{
    return probe_one(probe_disk, p, err);
}

int oci_probe_users(const struct oci_probe *p, struct error *err)
{
    return probe_one(probe_users, p, err);
}
