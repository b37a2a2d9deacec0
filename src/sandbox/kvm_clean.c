/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm_clean.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "proc.h"
#include "rmtree.h"

#define CLEAN_TIMEOUT_MS  5000
#define CLEAN_CMDLINE_MAX 8192

/* Whether the process was called with `--dir <dir>`. */
static bool clean_is_ours(const char *pid, const char *dir)
{
    char path[300], text[CLEAN_CMDLINE_MAX], want[CLEAN_CMDLINE_MAX];
    int len = snprintf(want, sizeof(want), "--dir%c%s", '\0', dir) + 1;
    (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    return n > 0 && memmem(text, (size_t)n, want, (size_t)len) != NULL;
}

/* For a VMM that is in no control group, and one of which nobody has noted the pid. */
static void clean_processes(const char *dir)
{
    DIR *proc = opendir("/proc");
    for (struct dirent *e = proc != NULL ? readdir(proc) : NULL; e != NULL; e = readdir(proc)) {
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        cleanup_close int pidfd = proc_open((pid_t)strtol(e->d_name, NULL, 10));
        /* Looked at after the pidfd exists: it is still that process. */
        if (pidfd < 0 || !clean_is_ours(e->d_name, dir) || proc_kill(pidfd, SIGKILL) < 0)
            continue;
        (void)poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, CLEAN_TIMEOUT_MS);
    }
    if (proc != NULL)
        (void)closedir(proc);
}

int kvm_clean(const char *id, const char *dir, const struct cgroups *cg, struct error *err)
{
    int rv = 0;
    if (cg->n > 0)
        (void)cgroup_kill(cg, id, CLEAN_TIMEOUT_MS);
    else
        clean_processes(dir);
    if (cg->n > 0 && (rv = cgroup_destroy(cg, id, CLEAN_TIMEOUT_MS)) < 0)
        (void)error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "control group");
    int rv2 = rmtree(dir);
    if (rv2 < 0 && rv == 0)
        rv = error_set_errno(err, ERROR_SANDBOX_FAILED, rv2, "%s", dir);
    return rv;
}

int kvm_clean_main(char **args)
{
    struct cgroups cg = {0};
    struct error err = {0};
    int rv = 0;
    if (args[0] == NULL || args[1] == NULL || args[2] != NULL || !driver_id_valid(args[0]))
        rv = error_set(&err, ERROR_INTERNAL, "an id and a directory are needed");
    if (rv == 0 && geteuid() == 0)
        (void)cgroups_load(&cg);
    if (rv == 0)
        rv = kvm_clean(args[0], args[1], &cg, &err);
    if (rv == 0)
        (void)dprintf(STDOUT_FILENO, "ok\n");
    else
        (void)dprintf(STDOUT_FILENO, "error %s\n", err.message);
    cgroups_done(&cg);
    return rv == 0 ? 0 : 1;
}
