/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * vmctl.c - talks to one corral-vmm by hand and in tests.
 *
 *   vmctl DIR ask LINE       one command of the test guest; its answer, then the time taken
 *   vmctl DIR up             waits for the control socket
 *   vmctl DIR wait           waits for a guest that answers a ping
 *   vmctl DIR spawn CMD...   starts a VMM, output into DIR/log, and waits; prints the time
 *   vmctl DIR api FILE [CMD...]  starts a VMM with an HTTP socket DIR/api.sock, sends it the requests
 *                            in FILE and waits for its guest; prints the time. Without CMD: only sends
 *   vmctl DIR serve PORT     answers one connection of the guest to host port PORT
 *   vmctl DIR send MIB       sends MIB MiB to the guest's `sink` command
 *   vmctl DIR hold N LINE    N connections with LINE, whose answers are never read, until killed
 *   vmctl DIR port           the host's port of a connection to the test guest
 *   vmctl DIR pid            of the VM's own process
 *   vmctl DIR start|pause|resume|stop|stats|log
 *   vmctl DIR snapshot OUT   writes OUT/state and OUT/memory, and OUT/overlay when DIR has one
 *   vmctl DIR diff OUT BASE  the same, with OUT/memory the difference to the memory file BASE, and
 *                            OUT/base a link to that; prints what SAVED says
 *   vmctl DIR fork OUT BASE CMD...  the same into memory; then runs CMD with state and memory as
 *                            descriptors 3 and 4
 *   vmctl DIR workset OUT    writes OUT/workset
 *   vmctl DIR balloon MIB
 *   vmctl DIR exited         waits for the end of the VM and prints the reason
 *   vmctl DIR ends LINE      the same after a command of the test guest, or after STOP when LINE is
 *                            empty; with the milliseconds it took
 *
 * `ask` and `send` take cid:N as DIR: a guest of another VMM that the host's kernel connects to.
 * VMCTL_SECONDS in the environment is the most that an answer may take (60).
 */
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sparse.h"
#include "vmctl.h"
#include "vmm_ctl.h"

const char *dir;
int seconds = 60;

static int read_all(int fd, void *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)p + done, len - done);
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

struct frame {
    uint32_t len;
    uint16_t type, zero;
};

static uint64_t saved_length; /* of the memory file, as SAVED says */
static int quiet;             /* no word about a request that went well or not */
static char payload[CTL_MAX_PAYLOAD + 1];

static int read_frame(int fd, struct frame *f)
{
    if (read_all(fd, f, sizeof(*f)) < 0 || f->len > CTL_MAX_PAYLOAD)
        return -1;
    if (read_all(fd, payload, f->len) < 0)
        return -1;
    payload[f->len] = '\0';
    return 0;
}

static int dial_ctl(void)
{
    struct frame f;
    int fd = dial(CTL_SOCKET_NAME);
    if (fd >= 0 && (read_frame(fd, &f) < 0 || f.type != CTL_HELLO)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int request(uint16_t type, const void *data, uint32_t len, const int *fds, size_t count)
{
    struct frame f = {len, type, 0};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } ctl = {.space = {0}};
    struct iovec iov[2] = {{&f, sizeof(f)}, {(void *)(uintptr_t)data, len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    double start = now();
    int fd = dial_ctl();
    if (fd < 0)
        return 1;
    if (count > 0) {
        msg.msg_control = &ctl;
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    if (sendmsg(fd, &msg, 0) < 0 || read_frame(fd, &f) < 0)
        return 1;
    if (f.type == CTL_STATS_REPLY) {
        for (uint32_t i = 0; i < f.len / 8; i++)
            printf("%llu ", ((unsigned long long *)(void *)payload)[i]);
        printf("\n");
    } else if (f.type == CTL_LOG_REPLY) {
        fwrite(payload, 1, f.len, stdout);
    } else if (f.type == CTL_SAVED) {
        const uint64_t *value = (const uint64_t *)(const void *)payload;
        printf("ok %llu %llu %u # %.1f ms\n", (unsigned long long)value[0],
               (unsigned long long)value[1], (unsigned int)value[2], now() - start);
        memcpy(&saved_length, payload + 20, sizeof(saved_length));
    } else if (!quiet) {
        printf("%s %s# %.1f ms\n", f.type == CTL_OK ? "ok" : "error",
               f.type == CTL_OK ? "" : payload + 8, now() - start);
    }
    return f.type == CTL_ERROR;
}

static int create(const char *out, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", out, name);
    mkdir(out, 0755);
    unlink(path);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
}

/* The VM is paused around it, unless it is anyway: the overlay is of the same moment. A fork pauses
 * by itself. */
static int snapshot(uint16_t type, const char *out, const int fds[2])
{
    char path[512];
    snprintf(path, sizeof(path), "%s/" CTL_OVERLAY_NAME, dir);
    int overlay = open(path, O_RDONLY | O_CLOEXEC), to = -1;
    if (overlay < 0 && type != CTL_FORK)
        return request(type, NULL, 0, fds, 2);
    quiet = 1;
    int paused = type == CTL_FORK || request(CTL_PAUSE, NULL, 0, NULL, 0) == 0;
    quiet = 0;
    int rv = request(type, NULL, 0, fds, 2);
    quiet = 1;
    if (rv == 0 && overlay >= 0 &&
        ((to = create(out, CTL_OVERLAY_NAME)) < 0 || sparse_copy(overlay, to) < 0))
        rv = 1;
    if (paused && (rv == 0 || type != CTL_FORK) && request(CTL_RESUME, NULL, 0, NULL, 0) != 0)
        rv = 1;
    return rv;
}

static int snapshot_files(uint16_t type, const char *out)
{
    const int fds[2] = {create(out, CTL_STATE_NAME), create(out, CTL_MEMORY_NAME)};
    return snapshot(type, out, fds);
}

static int link_base(const char *out, const char *base)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/" CTL_BASE_NAME, out);
    mkdir(out, 0755);
    unlink(path);
    return link(base, path) < 0 && symlink(base, path) < 0;
}

static int fork_vm(const char *out, const char *base, char **argv)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    int fds[2];
    for (int i = 0; i < 2; i++)
        fds[i] = memfd_create("fork", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    if (link_base(out, base) != 0 || snapshot(CTL_FORK, out, fds) != 0)
        return 1;
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        /* Not on top of the other one. */
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
        if ((i == 1 && ftruncate(fd, (off_t)saved_length) < 0) || fcntl(fd, F_ADD_SEALS, seals) < 0)
            return 1;
        fds[i] = fd;
    }
    dup2(fds[0], 3);
    dup2(fds[1], 4);
    execvp(argv[0], argv);
    return 127;
}

static int exited(int fd)
{
    struct frame f;
    while (fd >= 0 && read_frame(fd, &f) == 0) {
        if (f.type != CTL_EXITED)
            continue;
        printf("exited %u %s\n", *(uint32_t *)(void *)payload, payload + 8);
        return 0;
    }
    printf("gone\n");
    return 1;
}

static int ends(const char *line)
{
    struct frame stop = {0, CTL_STOP, 0};
    int fd = dial_ctl(), to = line[0] != '\0' ? dial_guest() : dial_ctl();
    double start = now();
    if (fd < 0 || to < 0)
        return 1;
    if (line[0] != '\0')
        dprintf(to, "%s\n", line);
    else
        (void)!write(to, &stop, sizeof(stop));
    int rv = exited(fd);
    printf("%.0f\n", now() - start);
    return rv;
}

/* The socket was made by the process outside the walls; the VM's is its only child. */
static int vm_pid(void)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    char path[64];
    int child = 0, fd = dial(CTL_SOCKET_NAME);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return 1;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", cred.pid, cred.pid);
    FILE *f = fopen(path, "r");
    /* Nobody is outside any more, or there are no walls. */
    if (f == NULL || fscanf(f, "%d", &child) != 1)
        child = cred.pid;
    printf("%d\n", child);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint16_t type;
    } plain[] = {
        {"start", CTL_START}, {"pause", CTL_PAUSE}, {"resume", CTL_RESUME},
        {"stop", CTL_STOP},   {"stats", CTL_STATS}, {"log", CTL_LOG},
    };
    if (argc < 3)
        return 2;
    if (getenv("VMCTL_SECONDS") != NULL)
        seconds = atoi(getenv("VMCTL_SECONDS"));
    dir = argv[1];
    const char *verb = argv[2], *arg = argc > 3 ? argv[3] : "";
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strcmp(plain[i].name, verb) == 0)
            return request(plain[i].type, NULL, 0, NULL, 0);
    }
    if (strcmp(verb, "ask") == 0)
        return ask(arg, 0);
    if (strcmp(verb, "wait") == 0)
        return wait_guest();
    if (strcmp(verb, "up") == 0)
        return up();
    if (strcmp(verb, "port") == 0)
        return port();
    if (strcmp(verb, "pid") == 0)
        return vm_pid();
    if (strcmp(verb, "hold") == 0 && argc > 4)
        return hold(atol(arg), argv[4]);
    if (strcmp(verb, "spawn") == 0)
        return spawn(argv + 3);
    if (strcmp(verb, "api") == 0 && argc > 3)
        return api(arg, argv + 4);
    if (strcmp(verb, "serve") == 0)
        return serve(arg);
    if (strcmp(verb, "send") == 0)
        return send_guest(atol(arg));
    if (strcmp(verb, "exited") == 0)
        return exited(dial_ctl());
    if (strcmp(verb, "ends") == 0)
        return ends(arg);
    if (strcmp(verb, "snapshot") == 0)
        return snapshot_files(CTL_SNAPSHOT, arg);
    if (strcmp(verb, "diff") == 0 && argc > 4)
        return link_base(arg, argv[4]) != 0 || snapshot_files(CTL_DIFF, arg) != 0;
    if (strcmp(verb, "fork") == 0 && argc > 5)
        return fork_vm(arg, argv[4], argv + 5);
    if (strcmp(verb, "workset") == 0) {
        int fd = create(arg, CTL_WORKSET_NAME);
        return request(CTL_WORKSET, NULL, 0, &fd, 1);
    }
    if (strcmp(verb, "balloon") == 0) {
        uint64_t bytes = strtoull(arg, NULL, 10) << 20;
        return request(CTL_BALLOON, &bytes, sizeof(bytes), NULL, 0);
    }
    return 2;
}
