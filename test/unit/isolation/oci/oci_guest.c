/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_guest.c - process 1 of a test container. It stands where the agent does, accepts on
 * descriptor 3, reads one line per connection and answers with one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int attempt_mount(void)
{
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static int attempt_unshare(void)
{
    return unshare(CLONE_NEWUSER);
}

static int attempt_clone(void)
{
    return (int)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0);
}

static int attempt_clone3(void)
{
    return (int)syscall(SYS_clone3, NULL, 0);
}

static int attempt_ptrace(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int attempt_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int attempt_io_uring(void)
{
    return (int)syscall(SYS_io_uring_setup, 1, NULL);
}

static int attempt_vsock(void)
{
    return socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int attempt_mknod(void)
{
    return mknod("/tmp/disk", S_IFBLK | 0600, 0x801);
}

static int attempt_kill_host(void)
{
    return kill(2, 0); /* only this process exists here */
}

static int attempt_write_agent(void)
{
    return open("/opt/corral/new", O_WRONLY | O_CREAT, 0600);
}

static int attempt_write_sysctl(void)
{
    return open("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static int attempt_setuid(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(setgid(1000) == 0 && setuid(1000) == 0 ? 0 : 1);
    return pid;
}

static int attempt_file(void)
{
    return open("/tmp/file", O_WRONLY | O_CREAT, 0600);
}

static const struct {
    const char *name;
    int (*run)(void);
} attempts[] = {
    {"mount", attempt_mount},       {"unshare", attempt_unshare},
    {"clone", attempt_clone},       {"clone3", attempt_clone3},
    {"ptrace", attempt_ptrace},     {"bpf", attempt_bpf},
    {"io_uring", attempt_io_uring}, {"vsock", attempt_vsock},
    {"mknod", attempt_mknod},       {"kill", attempt_kill_host},
    {"agent", attempt_write_agent}, {"sysctl", attempt_write_sysctl},
    {"setuid", attempt_setuid},     {"file", attempt_file},
};

/* "name errno" of the attempt; errno 0 when it succeeded. */
static void op_try(const char *arg, char *answer, size_t cap)
{
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        if (strcmp(attempts[i].name, arg) == 0) {
            errno = 0;
            int r = attempts[i].run();
            (void)snprintf(answer, cap, "%s %d", arg, r < 0 ? errno : 0);
        }
    }
}

/* How many processes can be made, at most 10,000; they stay. */
static void op_fork(const char *arg, char *answer, size_t cap)
{
    int n = 0;
    for (; n < 10000; n++) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0) {
            for (;;)
                (void)pause();
        }
    }
    (void)snprintf(answer, cap, "%d", n);
}

/* Takes memory until the kernel kills this process. */
static void op_eat(const char *arg, char *answer, size_t cap)
{
    for (;;) {
        char *p = malloc(1 << 20);
        if (p != NULL)
            memset(p, 1, 1 << 20);
    }
}

/* A chain of directories deeper than any path is long, links out of the tree, files without
 * permissions. */
static void op_mess(const char *arg, char *answer, size_t cap)
{
    (void)chdir("/tmp");
    (void)symlink("/", "root");
    (void)symlink("../../../../../../etc", "up");
    (void)mkdir("closed", 0);
    int depth = 0;
    while (depth < 3000 && mkdir("directory-with-a-long-name", 0700) == 0 &&
           chdir("directory-with-a-long-name") == 0) {
        (void)symlink("..", "parent");
        (void)close(open("file", O_WRONLY | O_CREAT, 0));
        depth++;
    }
    (void)snprintf(answer, cap, "%d", depth);
}

static void op_ping(const char *arg, char *answer, size_t cap)
{
    (void)snprintf(answer, cap, "pong %d", getpid());
}

static void op_host(const char *arg, char *answer, size_t cap)
{
    (void)gethostname(answer, cap);
}

static void op_exit(const char *arg, char *answer, size_t cap)
{
    _exit(0);
}

/* Capabilities, limits and mounts as the kernel shows them: the first line of a file that starts
 * with `arg`, "path:prefix". */
static void op_line(const char *arg, char *answer, size_t cap)
{
    char path[128];
    const char *colon = strchr(arg, ':');
    if (colon == NULL)
        return;
    (void)snprintf(path, sizeof(path), "%.*s", (int)(colon - arg), arg);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(answer, (int)cap, f) != NULL) {
        if (strncmp(answer, colon + 1, strlen(colon + 1)) == 0)
            break;
        answer[0] = '\0';
    }
    if (f != NULL)
        (void)fclose(f);
    answer[strcspn(answer, "\n")] = '\0';
}

static const struct {
    const char *name;
    void (*run)(const char *arg, char *answer, size_t cap);
} ops[] = {
    {"ping", op_ping}, {"host", op_host}, {"exit", op_exit}, {"try", op_try},
    {"fork", op_fork}, {"eat", op_eat},   {"mess", op_mess}, {"line", op_line},
};

static void serve(int fd)
{
    char line[256], answer[256] = "?";
    ssize_t n = read(fd, line, sizeof(line) - 1);
    if (n <= 0)
        return;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *arg = strchr(line, ' ');
    if (arg != NULL)
        *arg++ = '\0';
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (strcmp(ops[i].name, line) == 0)
            ops[i].run(arg != NULL ? arg : "", answer, sizeof(answer));
    }
    (void)dprintf(fd, "%s\n", answer);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(3, NULL, NULL);
        if (fd < 0)
            return 1;
        serve(fd);
        (void)close(fd);
    }
}
