/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pid1.c - the start and the end of process 1.
 *
 * pid1_start mounts the kernel's file systems, opens descriptors 0 to 2 and brings the loopback up.
 * No step is fatal: with a mount missing the sandbox still runs most programs, and without an agent
 * it runs none, so a failure is a line in the log.
 *
 * pid1_stop sends SIGTERM to all processes, waits, sends SIGKILL until none is left, and powers a
 * machine off. Reaping in between is serve.c's.
 */
#include "agent/pid1.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>

#include "base/base.h"
#include "base/log.h"

#define PID1_TERM_MS 1000 /* between SIGTERM and SIGKILL */
#define PID1_KILL_MS 2000 /* after SIGKILL */
#define PID1_STEP_MS 10

struct pid1_mount {
    const char *target;
    const char *type;
    const char *data;
    unsigned long flags;
    unsigned long magic; /* of the file system that is there when it is mounted; 0: see `probe` */
    const char *probe;   /* exists when it is mounted */
    mode_t mode;         /* of a mount point that must be made */
};

static const struct pid1_mount pid1_mounts[] = {
    {"/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, PROC_SUPER_MAGIC, NULL, 0555},
    {"/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, SYSFS_MAGIC, NULL, 0555},
    {"/sys/fs/cgroup", "cgroup2", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, CGROUP2_SUPER_MAGIC, NULL,
     0555},
    {"/dev", "devtmpfs", "mode=0755", MS_NOSUID | MS_NOEXEC, 0, "/dev/null", 0755},
    {"/dev/pts", "devpts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC,
     DEVPTS_SUPER_MAGIC, NULL, 0755},
    {"/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, TMPFS_MAGIC, NULL, 01777},
    {"/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV, TMPFS_MAGIC, NULL, 0755},
    {"/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, TMPFS_MAGIC, NULL, 01777},
};

static const char *const pid1_dev_links[][2] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

static bool is_mounted(const struct pid1_mount *m)
{
    struct statfs fs;
    if (m->probe != NULL)
        return access(m->probe, F_OK) == 0;
    /* /dev/shm may be a directory on the tmpfs of its parent: then the type is right, but it is no
     * mount. */
    struct stat at, above;
    char parent[64];
    (void)snprintf(parent, sizeof(parent), "%s/..", m->target);
    if (statfs(m->target, &fs) < 0 || (unsigned long)fs.f_type != m->magic)
        return false;
    return stat(m->target, &at) == 0 && stat(parent, &above) == 0 && at.st_dev != above.st_dev;
}

static void mount_missing(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(pid1_mounts); i++) {
        const struct pid1_mount *m = &pid1_mounts[i];
        if (is_mounted(m))
            continue;
        (void)mkdir(m->target, m->mode);
        /* Without the right to mount, the runtime decides which mounts there are. */
        if (mount(m->type, m->target, m->type, m->flags, m->data) < 0 && errno != EPERM)
            log_warn("cannot mount, ignoring", "target=%s error=\"%s\"", m->target,
                     strerror(errno));
    }
    for (size_t i = 0; i < ARRAY_SIZE(pid1_dev_links); i++)
        (void)!symlink(pid1_dev_links[i][0], pid1_dev_links[i][1]);
}

/* A new network namespace begins with its loopback down. */
static void loopback_up(void)
{
    struct ifreq ifr = {.ifr_name = "lo"};
    cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0 || (ifr.ifr_flags & IFF_UP))
        return;
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP | IFF_RUNNING);
    if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
        log_warn("cannot bring the loopback up, ignoring", "error=\"%s\"", strerror(errno));
}

static void name_host(void)
{
    char name[65];
    if (gethostname(name, sizeof(name)) == 0 && strcmp(name, "(none)") == 0)
        (void)sethostname("sandbox", strlen("sandbox"));
}

/* Opens those of descriptors 0 to 2 that are closed, so that no pipe of the agent gets their
 * number. */
static void fill_standard_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        (void)close(fd);
}

/* Without the agent the server has no way to end what uses up the memory. Children raise it
 * (process/tree.c). */
static void protect_from_oom(void)
{
    cleanup_close int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "-900", 4) < 0)
        log_debug("cannot lower the OOM score, ignoring");
}

void pid1_start(void)
{
    if (getpid() != 1) {
        fill_standard_fds();
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        return;
    }
    mount_missing();
    fill_standard_fds();
    name_host();
    loopback_up();
    protect_from_oom();
}

/* Signals every process of the namespace, or every child of the agent; false when there is none. */
static bool signal_rest(int sig)
{
    if (getpid() == 1)
        return kill(-1, sig) == 0;
    char path[64], pids[4096];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, pids, sizeof(pids) - 1);
    if (n <= 0)
        return false;
    pids[n] = '\0';
    char *rest = pids;
    for (char *p = strsep(&rest, " "); p != NULL; p = strsep(&rest, " ")) {
        if (*p != '\0')
            (void)kill((pid_t)strtol(p, NULL, 10), sig);
    }
    return true;
}

static bool reap_for(int ms)
{
    const struct timespec step = {.tv_nsec = PID1_STEP_MS * 1000000L};
    for (int waited = 0; waited <= ms; waited += PID1_STEP_MS) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0 && errno == ECHILD)
            return true;
        (void)nanosleep(&step, NULL);
    }
    return false;
}

void pid1_stop(void)
{
    if (signal_rest(SIGTERM) && !reap_for(PID1_TERM_MS)) {
        /* The orphans of a killed process become children of the agent, so kill until nobody is
         * left. */
        for (int waited = 0; waited < PID1_KILL_MS && signal_rest(SIGKILL); waited += PID1_STEP_MS)
            (void)reap_for(PID1_STEP_MS);
    }
    if (getpid() != 1)
        return;
    sync();
    /* Only process 1 of a machine has the right. In a container its exit ends the container. */
    (void)reboot(RB_POWER_OFF);
}
