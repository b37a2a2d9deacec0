/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vmm.c - stands for corral-vmm in test_instance.c: its options, sockets and faults. Which
 * fault is the name of the template's directory, or what the disk image says. While it runs,
 * SIGUSR1 makes its guest panic and SIGUSR2 makes it talk nonsense.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"
#include "base/wire_codec.h"
#include "vmm_ctl.h"

#define CLIENTS 8

static const char *dir, *template_dir = "", *mode = "good";
static char *cgroups;
static bool restore, handed;
static int exits;            /* told, when it does not end by that */
static int refused_connects; /* of vsock.sock, so far */
static struct pollfd fds[2 + 2 * CLIENTS];
static struct wire_reader readers[CLIENTS];
static volatile sig_atomic_t panic, nonsense;

static bool is(const char *name)
{
    return strcmp(mode, name) == 0;
}

static void on_signal(int sig)
{
    if (sig == SIGUSR1)
        panic = 1;
    else
        nonsense = 1;
}

static int bind_socket(const char *name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)unlink(addr.sun_path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0)
        exit(1);
    return fd;
}

static void reply(int fd, unsigned int type, const void *payload, size_t len)
{
    struct buf b = {0};
    (void)wire_put_frame(&b, (enum wire_type)type, payload, len);
    (void)!write(fd, b.data, b.len);
    buf_done(&b);
}

static void tell_exited(int fd, uint32_t reason, const char *text)
{
    struct buf b = {0};
    (void)buf_u32(&b, reason);
    wire_put_str(&b, text);
    reply(fd, CTL_EXITED, b.data, b.len);
    buf_done(&b);
}

static void greet(int fd)
{
    const uint32_t hello[] = {is("bad-hello") ? 99 : CTL_VERSION, CTL_STATE_RUNNING};
    if (is("mute"))
        return;
    if (is("bad-frame")) {
        (void)!write(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
        return;
    }
    reply(fd, CTL_HELLO, hello, sizeof(hello));
    if (is("exit-before")) {
        tell_exited(fd, CTL_EXIT_PANIC, "Kernel panic - \x1b[1mno init found");
        _exit(CTL_EXIT_STATUS + CTL_EXIT_PANIC);
    }
}

static bool is_save(unsigned int type)
{
    return type == CTL_DIFF || type == CTL_FORK;
}

/* One that its guest has taken over may keep what it was lent. */
static void keep_map(unsigned int type, const int *files)
{
    if (is("keeps-map") && type == CTL_FORK)
        (void)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, files[1], 0);
}

static void answer(int fd, unsigned int type, const int *files, int n_files)
{
    static const uint64_t stats[10] = {1, 4096, 8192, 3, 4, 5, 6, 7, 8, 9};
    const uint32_t saved[] = {56000, 0, 4096, 0, restore};
    if (is("silent-stats") && type == CTL_STATS)
        return;
    if (is("error-reply") && is_save(type)) {
        struct buf b = {0};
        (void)buf_u32(&b, ENOSPC);
        wire_put_str(&b, "no space for it");
        reply(fd, CTL_ERROR, b.data, b.len);
        buf_done(&b);
    } else if (is("bad-reply") || type == CTL_STATS) {
        reply(fd, CTL_STATS_REPLY, stats, sizeof(stats));
    } else if (is("die-in-snapshot") && is_save(type)) {
        _exit(1);
    } else if (!is("no-reply")) {
        for (int i = 0; i < n_files; i++)
            (void)!write(files[i], "file", 4);
        keep_map(type, files);
        if (is_save(type))
            reply(fd, CTL_SAVED, saved, sizeof(saved) - (is("short-saved") ? 8 : 0));
        else
            reply(fd, CTL_OK, NULL, 0);
    }
}

static void control(int slot, int fd)
{
    uint8_t data[256];
    char space[256];
    int files[4], n_files = 0;
    struct iovec iov = {data, sizeof(data)};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct wire_frame f;
    ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL; c; c = CMSG_NXTHDR(&msg, c)) {
        n_files = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(files, CMSG_DATA(c), (size_t)n_files * sizeof(int));
    }
    if (n <= 0) {
        (void)close(fd);
        fds[2 + slot].fd = -1;
        wire_reader_done(&readers[slot]);
        return;
    }
    (void)wire_reader_feed(&readers[slot], data, (size_t)n);
    while (wire_reader_next(&readers[slot], &f) > 0)
        answer(fd, (unsigned int)f.type, files, n_files);
    while (n_files > 0)
        (void)close(files[--n_files]);
}

static void guest(int slot, int fd)
{
    char line[64];
    ssize_t n = read(fd, line, sizeof(line));
    if (n > 0 && is("silent-agent"))
        return;
    if (n > 0 && is("noisy-agent"))
        (void)!write(fd, "no such thing at all here\n", 26);
    else if (n > 0 && !(is("late-agent") && refused_connects++ < 5)) {
        (void)!write(fd, "OK 7", 4);
        (void)!write(fd, "\n", 1);
        return;
    }
    (void)close(fd);
    fds[2 + CLIENTS + slot].fd = -1;
}

static void accept_on(int listener, int first)
{
    int fd = accept(listener, NULL, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        if (fds[first + i].fd >= 0)
            continue;
        fds[first + i] = (struct pollfd){.fd = fd, .events = POLLIN};
        if (first == 2)
            greet(fd);
        return;
    }
    (void)close(fd);
}

static void run(void)
{
    fds[0] = (struct pollfd){.fd = is("no-ctl") ? -1 : bind_socket(CTL_SOCKET_NAME),
                             .events = POLLIN};
    fds[1] = (struct pollfd){.fd = bind_socket(CTL_VSOCK_NAME), .events = POLLIN};
    for (int i = 0; i < 2 * CLIENTS; i++)
        fds[2 + i].fd = -1;
    (void)!write(STDOUT_FILENO, "r", 1);
    (void)close(STDOUT_FILENO);
    /* Signals come while it waits, and at no other time. */
    sigset_t none;
    (void)sigemptyset(&none);
    for (;;) {
        const struct timespec often = {.tv_nsec = 50 * 1000000};
        (void)ppoll(fds, ARRAY_SIZE(fds), exits > 0 ? &often : NULL, &none);
        for (int i = 0; i < CLIENTS && (panic || nonsense); i++) {
            if (fds[2 + i].fd >= 0 && panic)
                tell_exited(fds[2 + i].fd, CTL_EXIT_PANIC, "sysrq triggered crash");
            else if (fds[2 + i].fd >= 0)
                reply(fds[2 + i].fd, CTL_OK, NULL, 0); /* nobody asked */
        }
        exits += panic;
        /* Says that it has ended, again and again, and lives. */
        if (panic && (!is("exits-for-ever") || exits > 100))
            _exit(CTL_EXIT_STATUS + CTL_EXIT_PANIC);
        nonsense = 0;
        for (int i = 0; i < CLIENTS; i++) {
            if (fds[2 + i].fd >= 0 && fds[2 + i].revents != 0)
                control(i, fds[2 + i].fd);
            if (fds[2 + CLIENTS + i].fd >= 0 && fds[2 + CLIENTS + i].revents != 0)
                guest(i, fds[2 + CLIENTS + i].fd);
        }
        if (fds[0].revents != 0)
            accept_on(fds[0].fd, 2);
        if (fds[1].revents != 0)
            accept_on(fds[1].fd, 2 + CLIENTS);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
            fds[i].revents = 0;
    }
}

static void options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--dir") == 0)
            dir = argv[++i];
        else if (strcmp(argv[i], "--disk") == 0)
            template_dir = argv[++i];
        else if (strcmp(argv[i], "--cgroup") == 0)
            cgroups = argv[++i];
        else if (strcmp(argv[i], "--restore") == 0)
            restore = true;
        else if (strcmp(argv[i], "--handed") == 0)
            handed = true;
    }
    /* .../NAME/kvm/disk.img */
    char *name = strstr(template_dir, "/mode-");
    if (name != NULL) {
        name[strcspn(name + 1, "/") + 1] = '\0';
        mode = name + strlen("/mode-");
        return;
    }
    static char text[32];
    int fd = open(template_dir, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
        mode = text;
    (void)close(fd);
}

static void enter_cgroups(void)
{
    for (char *group; (group = strsep(&cgroups, ":")) != NULL;) {
        char path[512];
        (void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            exit(1);
        (void)close(fd);
    }
}

static int hand_over(pid_t pid)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } ctl = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec iov = {"r", 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl.space)};
    int pidfd = is("no-pidfd") ? open("/dev/null", O_RDONLY | O_CLOEXEC) : pidfd_open(pid, 0);
    memcpy(CMSG_DATA(&ctl.header), &pidfd, sizeof(pidfd));
    return sendmsg(STDIN_FILENO, &msg, MSG_NOSIGNAL) == 1 ? 0 : 1;
}

/* State and memory, sealed, as what another one has written. */
static bool was_handed(void)
{
    char text[8];
    for (int fd = 3; fd <= 4; fd++) {
        int seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & F_SEAL_WRITE) == 0 || pread(fd, text, sizeof(text), 0) != 4)
            return false;
        (void)close(fd);
    }
    return true;
}

int main(int argc, char **argv)
{
    int ready[2];
    char byte = 0, overlay[512];
    options(argc, argv);
    if (is("die-start")) {
        printf("error there is no such thing\n");
        return 1;
    }
    if (handed && !was_handed()) {
        printf("error nothing was handed\n");
        return 1;
    }
    if (is("die-silent"))
        return 3;
    if (is("no-pid")) {
        printf("hello\n");
        return 0;
    }
    if (is("names-a-stranger")) {
        printf("%d\n", (int)getppid());
        return 0;
    }
    if (is("refuse-restore") && restore) {
        printf("error it is of another processor\n");
        return 1;
    }
    if (is("hang"))
        (void)pause();
    (void)snprintf(overlay, sizeof(overlay), "%s/overlay", dir);
    (void)close(open(overlay, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    enter_cgroups();
    sigset_t mine;
    (void)sigemptyset(&mine);
    (void)sigaddset(&mine, SIGUSR1);
    (void)sigaddset(&mine, SIGUSR2);
    (void)sigprocmask(SIG_BLOCK, &mine, NULL);
    (void)signal(SIGUSR1, on_signal);
    (void)signal(SIGUSR2, on_signal);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)!pipe(ready);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ready[1], STDOUT_FILENO);
        (void)close(ready[0]);
        (void)close(ready[1]);
        (void)close(STDERR_FILENO);
        run();
    }
    (void)close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        return 1;
    printf("%d\n", is("names-another") ? (int)getppid() : (int)pid);
    return hand_over(pid);
}
