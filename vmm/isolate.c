/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isolate.c - the stages of the walls. isolate.h has their order, main.c calls them.
 *
 * Each stage takes away what the next ones no longer need. None is undone on failure: the process
 * ends with the reason. Two kinds of starter are served: root, which makes the namespaces itself
 * and then becomes another user, and an ordinary user of group kvm, which needs a user namespace
 * to make the others and stays who it is.
 */
#include "isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ISOLATE_FILES 1280u
#define ISOLATE_CAPS  64u
#define ISOLATE_DIR   "sandbox" /* in the new root */
#define ISOLATE_MOUNT (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define ISOLATE_NAMESPACES                                                                         \
    (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static int isolate_failed(struct error *err, const char *what)
{
    return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", what);
}

int isolate_early(unsigned int inherited, struct error *err)
{
    /* A descriptor of the server or of another VM would pass every wall below. */
    if (close_range(ISOLATE_INHERITED + inherited, ~0u, 0) < 0)
        return isolate_failed(err, "inherited files cannot be closed");
    if (clearenv() != 0)
        return error_set(err, ERROR_SANDBOX_FAILED, "the environment cannot be cleared");
    (void)umask(077);
    return 0;
}

int isolate_cgroup(const char *dir, struct error *err)
{
    cleanup_close int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir_fd < 0)
        return isolate_failed(err, "the cgroup cannot be opened");
    cleanup_close int fd = openat(dir_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || write(fd, "0", 1) != 1)
        return isolate_failed(err, "the cgroup cannot be entered");
    return 0;
}

static int isolate_write(const char *path, const char *text)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t len = (ssize_t)strlen(text);
    return fd >= 0 && write(fd, text, (size_t)len) == len ? 0 : -errno;
}

/* An ordinary user may make the other namespaces only inside a user namespace, in which it keeps
 * its own ids. */
static int isolate_user_namespace(void)
{
    char map[64];
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    int rv = isolate_write("/proc/self/setgroups", "deny");
    (void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    if (rv == 0)
        rv = isolate_write("/proc/self/uid_map", map);
    (void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    if (rv == 0)
        rv = isolate_write("/proc/self/gid_map", map);
    return rv;
}

int isolate_namespaces(pid_t *ret_child, struct error *err)
{
    int rv = geteuid() != 0 ? isolate_user_namespace() : 0;
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "no user namespace can be made");
    if (unshare(ISOLATE_NAMESPACES) < 0)
        return isolate_failed(err, "the namespaces cannot be made");
    /* A new pid namespace is for children only. */
    pid_t pid = fork();
    if (pid < 0)
        return isolate_failed(err, "the VM's process cannot be made");
    *ret_child = pid;
    return 0;
}

int isolate_root(struct error *err)
{
    /* Otherwise the mounts below would show up outside. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return isolate_failed(err, "mounts cannot be made private");
    cleanup_close int tree = open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return isolate_failed(err, "the sandbox's directory cannot be cloned");
    /* Its sockets can be connected to, nothing can be made: no link to another sandbox's, either.
     */
    struct mount_attr closed = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                            MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &closed, sizeof(closed)) < 0)
        return isolate_failed(err, "the sandbox's directory cannot be made read-only");
    /* Any directory will do to mount the new root on; every system has this one. */
    if (mount("none", "/proc", "tmpfs", ISOLATE_MOUNT, "size=16k,nr_inodes=4,mode=0755") < 0 ||
        chdir("/proc") < 0 || mkdir(ISOLATE_DIR, 0700) < 0)
        return isolate_failed(err, "the new root cannot be mounted");
    if (move_mount(tree, "", AT_FDCWD, ISOLATE_DIR, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return isolate_failed(err, "the sandbox's directory cannot be mounted");
    /* With both arguments the same directory the old root lies on top of the new one, and is
     * detached from there (pivot_root(2)). */
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return isolate_failed(err, "the root cannot be changed");
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | ISOLATE_MOUNT, NULL) < 0 ||
        chdir(ISOLATE_DIR) < 0)
        return isolate_failed(err, "the new root cannot be closed");
    return 0;
}

int isolate_limits(uint64_t file_size, struct error *err)
{
    const struct {
        __rlimit_resource_t resource;
        rlim_t value;
    } limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_MEMLOCK, 0},
        {RLIMIT_NOFILE, ISOLATE_FILES},
        {RLIMIT_MSGQUEUE, 0},
        {RLIMIT_FSIZE, (rlim_t)file_size},
    };
    /* An error of write that ends one request, and not the VM. */
    (void)signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        struct rlimit l = {limits[i].value, limits[i].value};
        if (setrlimit(limits[i].resource, &l) < 0)
            return isolate_failed(err, "a resource limit cannot be set");
    }
    return 0;
}

static int isolate_drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int isolate_identity(uid_t uid, gid_t gid, struct error *err)
{
    if (gid != 0 && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0))
        return isolate_failed(err, "the group cannot be changed");
    /* The bounding set needs the rights that the change of user takes away. */
    for (unsigned long cap = 0; cap < ISOLATE_CAPS; cap++) {
        /* Refused to one without the right to; the first number that names none ends it. */
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            break;
    }
    if (uid != 0 && setresuid(uid, uid, uid) < 0)
        return isolate_failed(err, "the user cannot be changed");
    /* An ordinary user keeps its id, and would keep all capabilities of its user namespace. */
    int rv = isolate_drop_capabilities();
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "capabilities cannot be dropped");
    /* The filters need the first; the second keeps others of the same user out of our memory. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return isolate_failed(err, "privileges cannot be given up");
    return 0;
}
