/* SPDX-License-Identifier: Apache-2.0 */
/* proc.c - processes by pidfd and start time. */
#include "isolation/proc.h"

#include "base/base.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define STAT_MAX    1024 /* a stat line is 52 numbers and a name of at most 64 bytes */
#define CMDLINE_MAX 8192

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

int proc_pid(int pidfd)
{
    char path[48], line[128];
    int pid = 0;
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return -errno;
    while (pid == 0 && fgets(line, sizeof(line), f) != NULL)
        (void)sscanf(line, "Pid: %d", &pid);
    (void)fclose(f);
    if (pid == 0)
        return -EBADF;
    return pid > 0 ? pid : -ESRCH;
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

static bool proc_is_called(const char *pid, const char *args, size_t len)
{
    char path[300], text[CMDLINE_MAX];
    (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    return n > 0 && memmem(text, (size_t)n, args, len) != NULL;
}

unsigned int proc_kill_called(const char *args, size_t len, int timeout_ms)
{
    unsigned int killed = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e = proc != NULL ? readdir(proc) : NULL; e != NULL; e = readdir(proc)) {
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        cleanup_close int pidfd = proc_open((pid_t)strtol(e->d_name, NULL, 10));
        /* Looked at after the pidfd exists: it is still that process. */
        if (pidfd < 0 || !proc_is_called(e->d_name, args, len) || proc_kill(pidfd, SIGKILL) < 0)
            continue;
        killed++;
        (void)poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, timeout_ms);
    }
    if (proc != NULL)
        (void)closedir(proc);
    return killed;
}
