/* SPDX-License-Identifier: Apache-2.0 */
#include "proc.h"

#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define STAT_MAX 1024 /* a stat line is 52 numbers and a name of at most 64 bytes */

int proc_start_time(pid_t pid, uint64_t *ret)
{
    char path[32], line[STAT_MAX];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t n = read(fd, line, sizeof(line) - 1);
    if (n < 0)
        return -errno;
    line[n] = '\0';

    /* Field 2 is the name in parentheses and may itself contain blanks and parentheses. */
    const char *p = strrchr(line, ')');
    for (int field = 2; p != NULL && field < 22; field++) {
        p = strchr(p + 1, ' ');
    }
    if (p == NULL || sscanf(p, " %" SCNu64, ret) != 1)
        return -EIO;
    return 0;
}

int proc_open(pid_t pid)
{
    if (pid <= 0)
        return -ESRCH;
    int fd = pidfd_open(pid, 0);
    return fd < 0 ? -errno : fd;
}

int proc_open_same(pid_t pid, uint64_t start_time)
{
    cleanup_close int fd = proc_open(pid);
    if (fd < 0)
        return fd;
    /* Reading after opening: the pid cannot be reused in between unless it was before. */
    uint64_t now = 0;
    int r = proc_start_time(pid, &now);
    if (r < 0)
        return r;
    return now == start_time ? TAKE_FD(fd) : -ESRCH;
}

int proc_kill(int pidfd, int sig)
{
    return pidfd_send_signal(pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

void proc_reap(int pidfd)
{
    siginfo_t info;
    (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
}
