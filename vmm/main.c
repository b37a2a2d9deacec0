/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - corral-vmm: one microVM, from the command line to its exit status. See corral-vmm(8).
 *
 *   options.c   what is asked for
 *   files.c     every path becomes a descriptor
 *   isolate.c   the walls go up, one stage after the other (main_enter)
 *   build.c     the machine is assembled, cold or from a snapshot
 *   control.c   the control socket is served
 *   vm.c        vCPU threads start, filters are installed, the guest runs (main_run)
 *   loop.c      until the VM ends
 *
 * Processes: with walls there are two. The first one waits outside, with nothing but the caller's
 * standard files; with --detach it leaves once the second one is ready. The second one is the VM.
 * Its threads are those of vm.h.
 *
 * Failure: until the guest runs, any failure ends the process with status 1 and one line of reason.
 * From then on the VM's end is an exit status of enum ctl_exit, and the kernel frees what it held:
 * nothing is taken apart, which would only take longer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "control.h"
#include "files.h"
#include "filter.h"
#include "isolate.h"

#define MAIN_READY 'r' /* first byte of what the VM tells the process outside; else an error */

static struct options main_options;
static struct control main_control;

/* Hands the VM's process over, by a descriptor that names it whatever becomes of its number. It is
 * this process's child, and has not been waited for: no other can have the number yet. Standard
 * input is the socket that --handover stands for. */
static int main_hand_over(pid_t child)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } ctl = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec iov = {&(char){MAIN_READY}, 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl.space)};
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (pidfd < 0)
        return -errno;
    memcpy(CMSG_DATA(&ctl.header), &pidfd, sizeof(pidfd));
    return sendmsg(STDIN_FILENO, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* The reason why there is no VM. The process inside has read files of strangers by now: whatever it
 * says is printed as a reason and as nothing else. */
static void main_print_reason(const char *word, size_t len)
{
    static const char prefix[] = "error ";
    char text[512];
    size_t skip = len >= sizeof(prefix) - 1 && memcmp(word, prefix, sizeof(prefix) - 1) == 0
                      ? sizeof(prefix) - 1
                      : 0;
    while (len > skip && word[len - 1] == '\n')
        len--;
    size_t n = MIN(len - skip, sizeof(text) - 1);
    memcpy(text, word + skip, n);
    for (size_t i = 0; i < n; i++)
        text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : ' ';
    text[n] = '\0';
    printf("%s%s\n", prefix, text);
}

/* The process outside: waits for word from inside, which is that the VM is ready or why it is not.
 * The word comes before the guest has run, and the pipe is closed by then: nothing that a guest
 * does reaches the caller. Then it leaves, or stays for the exit status. */
static _Noreturn void main_outside(pid_t child, int ready_fd)
{
    char word[512];
    int status = 0;
    ssize_t n = main_options.detach ? read(ready_fd, word, sizeof(word)) : 0;
    if (n == 1 && word[0] == MAIN_READY) {
        int rv = main_options.handover ? main_hand_over(child) : 0;
        if (rv == 0)
            printf("%d\n", (int)child);
        else
            (void)kill(child, SIGKILL);
        exit(rv == 0 ? 0 : 1);
    }
    if (n > 0)
        main_print_reason(word, (size_t)n);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (main_options.detach)
        exit(1);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Lets go of the caller: no terminal, no standard file of its own. What the VM prints from here on
 * goes to the process outside. */
static int main_detach(int ready_fd)
{
    (void)setsid();
    cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    cleanup_close int ready = ready_fd;
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
        return -1;
    return dup2(ready, STDOUT_FILENO);
}

/* Root's limits are the host's: a VM without one of its own may take all of it. An ordinary user
 * has those of its session. */
static int main_cgroups(const struct options *o, struct error *err)
{
    char *dirs = o->cgroup;
    if (dirs == NULL && !o->no_cgroup && geteuid() == 0)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "root has to name a --cgroup, or say --no-cgroup");
    for (char *dir; (dir = strsep(&dirs, ":")) != NULL;) {
        if (isolate_cgroup(dir, err) < 0)
            return -EINVAL;
    }
    return 0;
}

/* Into the namespaces. Only the VM's process returns from here. */
static int main_fork(int *ret_ready_fd, struct error *err)
{
    int ready[2];
    pid_t child = 0;
    if (pipe2(ready, O_CLOEXEC) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "a pipe cannot be made");
    int rv = isolate_namespaces(&child, err);
    if (rv < 0)
        return rv;
    (void)close(ready[child != 0 ? 1 : 0]);
    if (child != 0)
        main_outside(child, ready[0]);
    *ret_ready_fd = ready[1];
    if (main_options.detach && (*ret_ready_fd = main_detach(ready[1])) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "/dev/null");
    return 0;
}

/*
 * The stages, in the only order that works. Inherited files close before new ones open; paths are
 * opened while there are paths; cgroups are entered while their files can be reached, and before
 * the guest's memory exists, which then counts there; identity goes late, as all before it needs
 * its rights, except for the page map, which must not have them.
 */
static int main_enter(struct vm_config *config, int *ret_ctl_fd, int *ret_ready_fd,
                      struct error *err)
{
    struct options *o = &main_options;
    bool jail = !o->no_jail;
    int proc_fd = -1;
    int rv = isolate_early(o->handed ? 2 : 0, err);
    if (rv == 0)
        rv = files_open(o, config, ret_ctl_fd, err);
    if (rv == 0 && jail)
        rv = main_cgroups(o, err);
    if (rv == 0 && jail)
        rv = main_fork(ret_ready_fd, err);
    if (rv == 0)
        rv = files_open_proc(o, &proc_fd, err);
    if (rv == 0 && jail)
        rv = isolate_root(err);
    if (rv == 0 && jail)
        rv = isolate_limits(files_largest(config), err);
    if (rv == 0 && jail)
        rv = isolate_identity((uid_t)o->uid, (gid_t)o->gid, err);
    if (rv == 0)
        rv = files_open_pagemap(proc_fd, config, err);
    return rv;
}

static void main_exited(struct vm *vm)
{
    control_exited(&main_control);
    loop_stop(&vm->loop);
}

static int main_run(struct vm *vm, int ready_fd, struct error *err)
{
    char quoted[2 * SERIAL_LINE];
    /* New threads wait for the lock: none runs the guest before all filters are up, and with the
     * lock given up once they are, each goes straight on. */
    vm_lock(vm);
    int rv = vm_start_threads(vm, err);
    if (rv == 0 && vm->seccomp && filter_install(FILTER_LOOP) < 0)
        rv = error_set(err, ERROR_SANDBOX_FAILED, "the system call filter is refused");
    /* Before the guest runs: what comes from a process with a guest is not to be trusted. */
    if (rv == 0 && ready_fd >= 0) {
        (void)!write(ready_fd, &(char){MAIN_READY}, 1);
        (void)close(ready_fd);
    }
    if (rv == 0 && !main_options.paused)
        rv = vm_resume(vm);
    vm_unlock(vm);
    if (rv < 0)
        return rv;
    loop_run(&vm->loop);
    log_info("the VM has ended", "reason=%d text=%s", vm->exit,
             log_quote(quoted, sizeof(quoted), vm->exit_text));
    return rv;
}

static int main_vm(struct error *err)
{
    static struct vm vm; /* too large for a stack */
    struct vm_config config = {0};
    int ctl_fd = -1, ready_fd = -1;
    int rv = main_enter(&config, &ctl_fd, &ready_fd, err);
    if (rv < 0)
        return rv;
    /* From here on files speak that a stranger may have made: state, kernel, overlay. */
    if (config.seccomp && filter_install(FILTER_BUILD) < 0)
        return error_set(err, ERROR_SANDBOX_FAILED, "the system call filter is refused");
    rv = build_vm(&vm, &config, main_exited, err);
    if (rv == 0)
        rv = control_init(&main_control, &vm, ctl_fd);
    if (rv == 0)
        rv = main_run(&vm, ready_fd, err);
    return rv < 0 ? rv : (int)vm.exit;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    char quoted[512];
    (void)signal(SIGPIPE, SIG_IGN); /* a client that leaves is an error of write, not our end */
    int rv = options_parse(&main_options, argc, argv, &err);
    if (rv == 0 && (main_options.help || main_options.extra)) {
        options_usage(main_options.help ? stdout : stderr);
        return main_options.help ? 0 : 2;
    }
    if (rv == 0)
        rv = main_vm(&err);
    if (rv < 0) {
        log_error("the VM cannot be started", "reason=%s",
                  log_quote(quoted, sizeof(quoted), err.message));
        if (main_options.detach)
            printf("error %s\n", err.message);
        return 1;
    }
    return CTL_EXIT_STATUS + rv;
}
