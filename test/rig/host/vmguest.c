/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's side of vmctl: commands of the test guest (init.c), one per vsock connection. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmctl.h"
#include "vmm_ctl.h"

#define GUEST_PORT 1024

double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

struct sockaddr_un address(const char *name)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", dir, name);
    return sa;
}

int dial(const char *name)
{
    struct sockaddr_un sa = address(name);
    struct timeval limit = {.tv_sec = seconds};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A guest of another VMM, which the host's kernel connects to. */
static int dial_cid(const char *cid)
{
    struct sockaddr_vm sa = {.svm_family = AF_VSOCK, .svm_port = GUEST_PORT};
    struct timeval limit = {.tv_sec = seconds};
    sa.svm_cid = (unsigned int)strtoul(cid, NULL, 10);
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A connection to the test guest, past the greeting, which tells the host's port. */
static int dial_port(unsigned int *host_port)
{
    char line[64] = "";
    size_t n = 0;
    int fd = dial(CTL_VSOCK_NAME);
    if (fd < 0)
        return -1;
    dprintf(fd, "CONNECT %d\n", GUEST_PORT);
    while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    if (sscanf(line, "OK %u", host_port) == 1)
        return fd;
    close(fd);
    return -1;
}

int dial_guest(void)
{
    unsigned int host_port;
    return strncmp(dir, "cid:", 4) == 0 ? dial_cid(dir + 4) : dial_port(&host_port);
}

int port(void)
{
    unsigned int host_port;
    int fd = dial_port(&host_port);
    if (fd < 0)
        return 1;
    close(fd);
    printf("%u\n", host_port);
    return 0;
}

int ask(const char *text, int quiet)
{
    char data[1 << 16];
    double start = now(), first = start;
    int answered = 0;
    unsigned long long total = 0;
    ssize_t n;
    int fd = dial_guest();
    if (fd < 0)
        return 1;
    dprintf(fd, "%s\n", text);
    while ((n = read(fd, data, sizeof(data))) > 0) {
        if (!answered)
            first = now();
        answered = 1;
        if (!quiet)
            (void)!write(1, data, (size_t)n);
        total += (unsigned long long)n;
    }
    close(fd);
    if (!quiet)
        fprintf(stderr, "# %.1f ms, %llu bytes in %.1f ms\n", first - start, total, now() - start);
    return total == 0;
}

/* Until the socket is there; then one question is enough, since all that takes it is queued. */
void wait_socket(int watch, const char *name, double start)
{
    char path[512], data[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    while (access(path, F_OK) < 0 && now() - start < seconds * 1e3) {
        struct pollfd p = {.fd = watch, .events = POLLIN};
        if (poll(&p, 1, 100) > 0)
            (void)!read(watch, data, sizeof(data));
    }
}

static int alive(void)
{
    int fd = dial(CTL_SOCKET_NAME);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Asks until the guest answers; a guest that is still booting refuses. Gives up on a VMM that is
 * not there for a while: between making its socket and listening it looks like one that has gone.
 */
static int wait_answer(double start)
{
    double seen = now();
    while (now() - start < seconds * 1e3 && now() - seen < 3000) {
        if (ask("ping", 1) == 0)
            return 0;
        if (alive())
            seen = now();
        usleep(20000);
    }
    return 1;
}

int wait_guest(void)
{
    double start = now();
    int watch = inotify_init1(IN_CLOEXEC);
    inotify_add_watch(watch, dir, IN_CREATE);
    wait_socket(watch, CTL_SOCKET_NAME, start);
    if (wait_answer(start) != 0)
        return 1;
    printf("up %.1f ms\n", now() - start);
    return 0;
}

pid_t start_logged(const char *path, char **argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(log, 1);
        dup2(log, 2);
        setsid();
        execv(argv[0], argv);
        _exit(127);
    }
    return pid;
}

int spawn(char **argv)
{
    char path[512];
    int watch = inotify_init1(IN_CLOEXEC);
    snprintf(path, sizeof(path), "%s/%s", dir, CTL_SOCKET_NAME);
    unlink(path);
    inotify_add_watch(watch, dir, IN_CREATE);
    snprintf(path, sizeof(path), "%s/log", dir);
    double start = now();
    start_logged(path, argv);
    wait_socket(watch, CTL_SOCKET_NAME, start);
    if (wait_answer(start) != 0)
        return 1;
    printf("answered after %.1f ms\n", now() - start);
    return 0;
}

int up(void)
{
    double start = now();
    int watch = inotify_init1(IN_CLOEXEC);
    inotify_add_watch(watch, dir, IN_CREATE);
    wait_socket(watch, CTL_SOCKET_NAME, start);
    while (!alive() && now() - start < seconds * 1e3)
        usleep(1000);
    return !alive();
}

int serve(const char *port)
{
    char name[64], line[256];
    snprintf(name, sizeof(name), "%s_%s", CTL_VSOCK_NAME, port);
    struct sockaddr_un sa = address(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(sa.sun_path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1) < 0)
        return 1;
    chmod(sa.sun_path, 0777);
    int c = accept(fd, NULL, NULL);
    ssize_t n = read(c, line, sizeof(line));
    (void)!write(1, line, n > 0 ? (size_t)n : 0);
    dprintf(c, "hello from the host\n");
    return 0;
}

int send_guest(long mib)
{
    static const char data[1 << 16];
    char answer[64] = "";
    double start = now();
    int fd = dial_guest();
    if (fd < 0)
        return 1;
    dprintf(fd, "sink\n");
    for (long i = 0; i < mib * 16; i++) {
        for (size_t done = 0; done < sizeof(data);) {
            ssize_t n = write(fd, data + done, sizeof(data) - done);
            if (n <= 0)
                return 1;
            done += (size_t)n;
        }
    }
    shutdown(fd, SHUT_WR);
    (void)!read(fd, answer, sizeof(answer) - 1);
    printf("%s# %.1f ms\n", answer, now() - start);
    return 0;
}

int hold(long count, const char *line)
{
    int got = 0;
    for (long i = 0; i < count; i++) {
        int fd = dial_guest();
        if (fd < 0)
            continue;
        dprintf(fd, "%s\n", line);
        got++;
    }
    printf("%d\n", got);
    fflush(stdout);
    pause();
    return 0;
}
