/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users.c - a child makes the namespaces, and this process writes their maps and keeps them open.
 *
 * Whoever makes a user namespace pays for what its members use of inotify instances, namespaces,
 * pending signals and the like, whatever their own ids: the kernel counts along the chain of
 * owners. Made by root, all sandboxes would share root's limits. So the child has the sandbox's own
 * id while it makes the namespace, and the one capability that some distributions ask for then.
 */
#include "isolation/oci/users.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/base.h"
#include "isolation/uids.h"

static int users_keep_admin(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    data[0].effective = data[0].permitted & (1u << CAP_SYS_ADMIN);
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* Says how it went, and waits until the other end closes. */
static void users_child(int end, uint32_t first, bool network)
{
    int status = 0;
    char byte;
    if (setegid(first) < 0 || seteuid(first) < 0 || (status = users_keep_admin()) < 0 ||
        unshare(CLONE_NEWUSER | (network ? CLONE_NEWNET : 0)) < 0)
        status = status < 0 ? status : -errno;
    if (write(end, &status, sizeof(status)) == sizeof(status))
        (void)!read(end, &byte, 1);
    _exit(0);
}

static int users_map(pid_t pid, const char *file, const char *map)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, map, strlen(map)) != (ssize_t)strlen(map) ? -errno : 0;
}

static int users_open(pid_t pid, const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The child's namespaces are there. */
static int users_take(pid_t pid, const char *map, bool network, struct error *err)
{
    int r = users_map(pid, "uid_map", map);
    if (r == 0)
        r = users_map(pid, "gid_map", map);
    cleanup_close int users = r < 0 ? r : users_open(pid, "user");
    if (users < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, users, "map of user ids");
    cleanup_close int net = network ? users_open(pid, "net") : -1;
    if (network && (net < 0 || setns(net, CLONE_NEWNET) < 0))
        return error_set_errno(err, ERROR_SANDBOX_FAILED, net < 0 ? net : -errno,
                               "network namespace");
    return TAKE_FD(users);
}

/* A namespace that the id `first` makes, with that map. */
static int users_make(uint32_t first, const char *map, bool network, struct error *err)
{
    int ends[2], status = -EIO;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "socket");
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        users_child(ends[1], first, network);
    }
    (void)close(ends[1]);
    cleanup_close int end = ends[0];
    if (pid < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "fork");
    if (read(end, &status, sizeof(status)) != sizeof(status))
        status = -EIO;
    int r = status < 0 ? error_set_errno(err, ERROR_SANDBOX_FAILED, status, "user namespace")
                       : users_take(pid, map, network, err);
    base_close_p(&end);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return r;
}

int oci_users_make(uint32_t first, bool network, struct error *err)
{
    char map[64];
    (void)snprintf(map, sizeof(map), "0 %u %u\n", first, UIDS_RANGE);
    return users_make(first, map, network, err);
}

int oci_users_shift(uint32_t from, uint32_t to, struct error *err)
{
    char map[96];
    (void)snprintf(map, sizeof(map), "0 0 1\n%u %u %u\n", from, to, UIDS_RANGE);
    return users_make(to, map, false, err);
}

uint32_t oci_users_of(int32_t pid)
{
    char path[64], text[128];
    unsigned int inside = 0, outside = 0, count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (sscanf(text, "%u %u %u", &inside, &outside, &count) != 3 || inside != 0)
        return 0;
    return outside;
}
