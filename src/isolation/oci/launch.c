/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.c - makes one sandbox and starts it, in a process of its own.
 *
 * The launch_stages run in order. The root file system is mounted in a mount namespace that only
 * this process and then the container have (rootfs.c). The agent's socket listens before the
 * container starts, so that a connection made at any time waits for the agent.
 *
 * The launcher dies with the server, and the runtime with the launcher. The sweep at the next start
 * finds what they had made by then through STATE/sandboxes and STATE/oci.
 */
#include "base/netdev.h"
#include "isolation/oci/config.h"
#include "isolation/oci/copy.h"
#include "isolation/oci/disk.h"
#include "isolation/oci/exec.h"
#include "isolation/oci/rootfs.h"
#include "isolation/oci/users.h"
#include "isolation/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LISTEN_BACKLOG 128
#define NETWORK_DEVICE "eth0"
#define NOFILE_MAX     65536
#define LOG_FILE       "oci.log"
#define PID_FILE       "pid"
#define BUNDLE_DIR     "bundle"

struct launch {
    struct oci_spec spec;
    int dir;    /* the sandbox's directory */
    int listen; /* the agent's socket */
    int tun;    /* the sandbox's interface; -1 without a network */
    int flows;  /* what its flows are accepted from */
    pid_t pid;  /* of the agent, in our pid namespace */
    uint64_t start_time;
    struct oci_rootfs rootfs;
    struct oci_host host;
    int users; /* its user namespace; -1: the host's */
    char users_path[64];
    char lacks[64]; /* what the sandbox has to do without; "" */
    struct error err;
};

static int launch_fail(struct launch *l, const char *what)
{
    return error_set_errno(&l->err, ERROR_SANDBOX_FAILED, -errno, "%s", what);
}

static int launch_bind_to_server(struct launch *l)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return launch_fail(l, "prctl");
    /* The server may have died before that took effect. */
    if (getppid() != (pid_t)l->spec.parent)
        return error_set(&l->err, ERROR_SANDBOX_FAILED, "the server has ended");
    return fcntl(STDOUT_FILENO, F_SETFD, FD_CLOEXEC) < 0 ? launch_fail(l, "fcntl") : 0;
}

static int launch_directories(struct launch *l)
{
    if (mkdir(l->spec.dir, 0700) < 0 && errno != EEXIST)
        return launch_fail(l, l->spec.dir);
    l->dir = open(l->spec.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (l->dir < 0)
        return launch_fail(l, l->spec.dir);
    (void)umask(022);
    for (const char *const *name = oci_rootfs_dirs; *name != NULL; name++) {
        if (mkdirat(l->dir, *name, 0755) < 0)
            return launch_fail(l, *name);
    }
    return mkdirat(l->dir, BUNDLE_DIR, 0755) < 0 ? launch_fail(l, BUNDLE_DIR) : 0;
}

static int launch_socket(struct launch *l)
{
    /* The name in sun_path is short whatever the state directory's is. */
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" OCI_SOCKET, l->dir);
    l->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->listen < 0)
        return launch_fail(l, "socket");
    if (bind(l->listen, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return launch_fail(l, OCI_SOCKET);
    return listen(l->listen, LISTEN_BACKLOG) < 0 ? launch_fail(l, "listen") : 0;
}

static int launch_disk(struct launch *l)
{
    if (l->spec.snapshot[0] != '\0')
        return oci_copy_restore(&l->spec, l->dir, &l->err);
    if (l->spec.disk_mb == 0)
        return 0;
    return oci_disk_make(l->dir, l->spec.images, l->spec.disk_mb, &l->err);
}

static int launch_rootfs(struct launch *l)
{
    l->host.rootfs = &l->rootfs;
    return oci_rootfs_mount(&l->spec, l->users, &l->rootfs, &l->err);
}

/* The runtime finds the namespace by its path, as it finds no descriptor but those it hands on. */
static int launch_users(struct launch *l)
{
    if (l->spec.uid == 0)
        return 0;
    l->users = oci_users_make(l->spec.uid, l->spec.network != 0, &l->err);
    if (l->users < 0)
        return l->users;
    /* The "." matters: runc 1.1.15 (Debian 13) takes what begins with /proc/<pid>/ for the
     * namespace of that process, whatever follows, and refuses our map because that one has
     * another. */
    (void)snprintf(l->users_path, sizeof(l->users_path), "/proc/./%d/fd/%d", getpid(), l->users);
    l->host.users = l->users_path;
    return 0;
}

/* Interface and listener are made from outside: the container has no right to. One without a
 * network is still of use, where the machine lets nobody make an interface. */
static int launch_network(struct launch *l)
{
    if (l->spec.network == 0)
        return 0;
    /* The socket that is bound there gets the directory's group, that of the agent (listener.c). */
    if (mkdirat(l->dir, OCI_NET_DIR, 0755) < 0 ||
        fchownat(l->dir, OCI_NET_DIR, (uid_t)-1, l->spec.uid, 0) < 0)
        return launch_fail(l, OCI_NET_DIR);
    if (l->users < 0 && unshare(CLONE_NEWNET) < 0)
        return launch_fail(l, "network namespace");
    l->tun = netdev_open(NETWORK_DEVICE);
    l->flows = l->tun < 0 ? l->tun : netdev_listen();
    if (l->flows >= 0)
        return 0;
    (void)snprintf(l->lacks, sizeof(l->lacks), "no network: %s", strerror(-l->flows));
    l->spec.network = 0;
    return 0;
}

static int launch_config(struct launch *l)
{
    cleanup_buf struct buf text = {0};
    struct cgroups cg = {0};
    (void)cgroups_load(&cg);
    l->host.limit_swap = cg.memory != NULL && cgroups_limit_swap(&cg);
    cgroups_done(&cg);
    int r = oci_config_write(&text, &l->spec, &l->host);
    if (r < 0)
        return error_set_errno(&l->err, ERROR_SANDBOX_FAILED, r, "config.json");
    cleanup_close int fd = openat(l->dir, BUNDLE_DIR "/config.json",
                                  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return launch_fail(l, "config.json");
    ssize_t n = write(fd, text.data, text.len);
    if (n < 0)
        return launch_fail(l, "config.json");
    if ((size_t)n != text.len)
        return error_set(&l->err, ERROR_SANDBOX_FAILED, "config.json: no space left");
    return 0;
}

/* Inherited from here: to set them for a process in a user namespace of its own needs a capability
 * that root in a container of its own may lack, and so does raising a hard limit. */
static int launch_limits(struct launch *l)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return launch_fail(l, "limit of open files");
    files.rlim_cur = files.rlim_max = MIN(files.rlim_max, (rlim_t)NOFILE_MAX);
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
        return launch_fail(l, "limits");
    return 0;
}

static int launch_run(struct launch *l)
{
    const struct oci_spec *s = &l->spec;
    char bundle[PATH_MAX], log[PATH_MAX], pid_file[PATH_MAX];
    if (snprintf(bundle, sizeof(bundle), "%s/" BUNDLE_DIR, s->dir) >= PATH_MAX ||
        snprintf(log, sizeof(log), "%s/" LOG_FILE, s->dir) >= PATH_MAX ||
        snprintf(pid_file, sizeof(pid_file), "%s/" PID_FILE, s->dir) >= PATH_MAX)
        return error_set(&l->err, ERROR_SANDBOX_FAILED, "the directory's path is too long");
    const int fds[] = {l->listen, l->tun, l->flows};
    char *n_fds = s->network != 0 ? "3" : "1";
    char *argv[] = {s->runtime,     "--root",     s->root,  "--log",    log,
                    "--log-format", "json",       "run",    "--detach", "--preserve-fds",
                    n_fds,          "--pid-file", pid_file, "--bundle", bundle,
                    s->id,          NULL};
    int status = oci_exec_runtime(argv, fds, s->network != 0 ? 3 : 1, 0);
    if (status < 0)
        return error_set_errno(&l->err, ERROR_SANDBOX_FAILED, status, "%s", s->runtime);
    if (status == 0)
        return 0;
    (void)error_set(&l->err, ERROR_SANDBOX_FAILED, "exit status %d", status);
    oci_exec_log_error(l->dir, LOG_FILE, &l->err);
    error_wrap(&l->err, "%s", s->runtime);
    return -EIO;
}

static int launch_identify(struct launch *l)
{
    char text[16] = "";
    cleanup_close int fd = openat(l->dir, PID_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return launch_fail(l, "pid file");
    l->pid = (pid_t)strtol(text, NULL, 10);
    int r = proc_start_time(l->pid, &l->start_time);
    if (r < 0)
        return error_set(&l->err, ERROR_SANDBOX_FAILED, "the agent ended at once");
    return 0;
}

static int (*const launch_stages[])(struct launch *) = {
    launch_bind_to_server, launch_directories, launch_users,    launch_network,
    launch_disk,           launch_rootfs,      launch_socket,   launch_config,
    launch_limits,         launch_run,         launch_identify,
};

int oci_launch_main(char **args)
{
    struct launch l = {.dir = -1, .listen = -1, .tun = -1, .flows = -1, .users = -1};
    int r = oci_spec_from_argv(&l.spec, args, &l.err);
    for (size_t i = 0; i < ARRAY_SIZE(launch_stages) && r == 0; i++)
        r = launch_stages[i](&l);
    if (r == 0)
        (void)dprintf(STDOUT_FILENO, "ok %d %" PRIu64 " %s\n", l.pid, l.start_time, l.lacks);
    else
        (void)dprintf(STDOUT_FILENO, "error %s\n", l.err.message);
    oci_spec_done(&l.spec);
    base_close_p(&l.listen);
    base_close_p(&l.tun);
    base_close_p(&l.flows);
    base_close_p(&l.users);
    base_close_p(&l.dir);
    return r == 0 ? 0 : 1;
}
