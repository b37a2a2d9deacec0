/* SPDX-License-Identifier: Apache-2.0 */
/* corral-vmm: options, files, walls, then the loop. See corral-vmm(8). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/num.h"
#include "base/sparse.h"
#include "control.h"
#include "disk_cow.h"
#include "filter.h"
#include "isolate.h"

/* Huge pages only for those who ask: khugepaged would copy, in every clone, what clones share, and
 * behind it there are the small pages of the snapshot's file in any case. */
#define MAIN_CMDLINE                                                                               \
    "console=ttyS0 quiet panic=-1 reboot=t pci=off cryptomgr.notests 8250.nr_uarts=1 "             \
    "i8042.noprobe audit=0 tsc=reliable transparent_hugepage=madvise"
#define MAIN_BACKLOG    64
#define MAIN_READY      'r'
#define MAIN_MAX_MEMORY (MEM_MAX_SIZE >> 20)

struct options {
    const char *dir, *kernel, *initrd, *cmdline, *restore, *disk, *overlay, *overlay_from;
    char *cgroup;
    int64_t memory_mb, vcpus, disk_mb, disk_bps, disk_iops, uid, gid;
    bool paused, no_jail, console, detach, record, help;
};

enum option_kind { OPT_STR, OPT_INT, OPT_FLAG };

static struct options opt = {.cmdline = MAIN_CMDLINE, .memory_mb = 512, .vcpus = 1};

static const struct {
    const char *name;
    enum option_kind kind;
    void *value;
    int64_t max;
    const char *help;
} option_table[] = {
    {"dir", OPT_STR, &opt.dir, 0, "the sandbox's directory: control and vsock sockets (required)"},
    {"kernel", OPT_STR, &opt.kernel, 0, "bzImage to boot"},
    {"initrd", OPT_STR, &opt.initrd, 0, "its initramfs"},
    {"cmdline", OPT_STR, &opt.cmdline, 0, "its command line"},
    {"restore", OPT_STR, &opt.restore, 0, "directory of a snapshot to restore instead"},
    {"disk", OPT_STR, &opt.disk, 0, "disk image; written in place unless there is an overlay"},
    {"overlay", OPT_STR, &opt.overlay, 0, "copy-on-write file over the disk; made when absent"},
    {"overlay-from", OPT_STR, &opt.overlay_from, 0, "file that an absent overlay is a copy of"},
    {"disk-size", OPT_INT, &opt.disk_mb, INT32_MAX, "least size of a new overlay in MiB"},
    {"memory", OPT_INT, &opt.memory_mb, MAIN_MAX_MEMORY, "guest memory in MiB (512)"},
    {"vcpus", OPT_INT, &opt.vcpus, LAYOUT_MAX_VCPUS, "virtual CPUs (1)"},
    {"disk-bps", OPT_INT, &opt.disk_bps, INT32_MAX, "disk limit in bytes per second (0: none)"},
    {"disk-iops", OPT_INT, &opt.disk_iops, INT32_MAX,
     "disk limit in requests per second (0: none)"},
    {"cgroup", OPT_STR, &opt.cgroup, 0, "cgroup directories to enter, with colons between them"},
    {"uid", OPT_INT, &opt.uid, INT32_MAX, "user id to run as"},
    {"gid", OPT_INT, &opt.gid, INT32_MAX, "group id to run as"},
    {"paused", OPT_FLAG, &opt.paused, 0, "wait for a START request before the guest runs"},
    {"detach", OPT_FLAG, &opt.detach, 0, "leave the VM behind once it is ready; prints its pid"},
    {"record", OPT_FLAG, &opt.record, 0,
     "allow WORKSET requests: which pages the guest has touched"},
    {"console", OPT_FLAG, &opt.console, 0, "copy the serial port to standard error"},
    {"no-jail", OPT_FLAG, &opt.no_jail, 0, "no namespaces and no filters: for debugging only"},
    {"help", OPT_FLAG, &opt.help, 0, "this text"},
};

static void main_usage(FILE *f)
{
    fprintf(f, "usage: corral-vmm --dir DIR (--kernel FILE | --restore DIR) --disk FILE ...\n");
    for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
        fprintf(f, "  --%-10s %s\n", option_table[i].name, option_table[i].help);
}

static int main_options(int argc, char **argv, struct error *err)
{
    struct option longopts[ARRAY_SIZE(option_table) + 1] = {{0}};
    int index = 0;
    for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
        longopts[i].name = option_table[i].name;
        longopts[i].has_arg = option_table[i].kind != OPT_FLAG;
    }
    for (int c; (c = getopt_long(argc, argv, "", longopts, &index)) != -1;) {
        if (c != 0)
            return error_set(err, ERROR_INVALID_ARGUMENT, "see --help");
        if (option_table[index].kind == OPT_FLAG)
            *(bool *)option_table[index].value = true;
        else if (option_table[index].kind == OPT_STR)
            *(const char **)option_table[index].value = optarg;
        else if (num_parse(optarg, 0, option_table[index].max, option_table[index].value) < 0)
            return error_set(err, ERROR_INVALID_ARGUMENT, "--%s: not a number up to %lld",
                             longopts[index].name, (long long)option_table[index].max);
    }
    if (opt.help || optind != argc)
        return 0;
    if (opt.dir == NULL || opt.disk == NULL || (opt.kernel == NULL) == (opt.restore == NULL))
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "--dir, --disk and one of --kernel and --restore are needed");
    return 0;
}

/* Files. */

static int main_open(int dir_fd, const char *path, int flags, struct error *err)
{
    if (path == NULL)
        return error_set(err, ERROR_INVALID_ARGUMENT, "a file is not named");
    int fd = openat(dir_fd, path, flags | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, -errno, "%s cannot be opened", path);
    return fd;
}

static int main_listen(const char *name, struct error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", name);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rv = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
    if (rv < 0 && errno == EADDRINUSE && unlink(name) == 0)
        rv = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
    if (rv < 0 || listen(fd, MAIN_BACKLOG) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s cannot be bound", name);
    return TAKE_FD(fd);
}

static int main_fill_overlay(int base_fd, int fd)
{
    struct stat base;
    if (opt.overlay_from != NULL) {
        cleanup_close int from = open(opt.overlay_from, O_RDONLY | O_CLOEXEC);
        return from < 0 ? -errno : sparse_copy(from, fd);
    }
    if (fstat(base_fd, &base) < 0)
        return -errno;
    uint64_t size = MAX((uint64_t)base.st_size, (uint64_t)opt.disk_mb << 20);
    return disk_cow_format(base_fd, fd, (size + DISK_COW_BLOCK - 1) & ~(DISK_COW_BLOCK - 1ull));
}

static int main_open_overlay(int base_fd, struct error *err)
{
    struct stat own;
    cleanup_close int fd = main_open(AT_FDCWD, opt.overlay, O_RDWR | O_CREAT, err);
    if (fd < 0)
        return fd;
    int rv = fstat(fd, &own) < 0 ? -errno : 0;
    if (rv == 0 && own.st_size == 0)
        rv = main_fill_overlay(base_fd, fd);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "%s cannot be made", opt.overlay);
    return TAKE_FD(fd);
}

static const char *main_disk_fault(int rv)
{
    switch (rv) {
    case -EBUSY:
        return "the overlay is used by another VM";
    case -ESTALE:
        return "the overlay belongs to another disk image";
    default:
        return "the disk cannot be used";
    }
}

static int main_open_disk(struct disk **ret, struct error *err)
{
    int flags = opt.overlay != NULL ? O_RDONLY : O_RDWR;
    cleanup_close int fd = main_open(AT_FDCWD, opt.disk, flags, err);
    if (fd < 0)
        return fd;
    int rv;
    if (opt.overlay == NULL) {
        rv = disk_raw_open(fd, ret);
    } else {
        cleanup_close int overlay = main_open_overlay(fd, err);
        if (overlay < 0)
            return overlay;
        rv = disk_cow_open(fd, overlay, ret);
        if (rv == 0)
            (void)TAKE_FD(overlay);
    }
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "%s", main_disk_fault(rv));
    (void)TAKE_FD(fd);
    return 0;
}

static int main_open_snapshot(struct vm_config *c, struct error *err)
{
    cleanup_close int dir = main_open(AT_FDCWD, opt.restore, O_PATH | O_DIRECTORY, err);
    if (dir < 0)
        return dir;
    c->state_fd = main_open(dir, CTL_STATE_NAME, O_RDONLY, err);
    c->memory_fd = c->state_fd < 0 ? -1 : main_open(dir, CTL_MEMORY_NAME, O_RDONLY, err);
    /* Optional. */
    c->workset_fd = openat(dir, CTL_WORKSET_NAME, O_RDONLY | O_CLOEXEC);
    c->workset_code_fd = openat(dir, CTL_WORKSET_CODE_NAME, O_RDONLY | O_CLOEXEC);
    return c->memory_fd < 0 ? -EINVAL : 0;
}

static int main_open_kernel(struct vm_config *c, struct error *err)
{
    c->kernel_fd = main_open(AT_FDCWD, opt.kernel, O_RDONLY, err);
    if (c->kernel_fd >= 0 && opt.initrd != NULL)
        c->initrd_fd = main_open(AT_FDCWD, opt.initrd, O_RDONLY, err);
    return c->kernel_fd < 0 || (opt.initrd != NULL && c->initrd_fd < 0) ? -EINVAL : 0;
}

/* Everything that a path names is opened here; behind the walls there are no paths. The working
 * directory is the sandbox's from here on: socket names stay short. */
static int main_open_all(struct vm_config *c, int *ret_ctl, struct error *err)
{
    *c = (struct vm_config){
        .memory = (uint64_t)opt.memory_mb << 20,
        .vcpus = (unsigned int)opt.vcpus,
        .kvm_fd = -1,
        .kernel_fd = -1,
        .initrd_fd = -1,
        .cmdline = opt.cmdline,
        .state_fd = -1,
        .memory_fd = -1,
        .workset_fd = -1,
        .workset_code_fd = -1,
        .disk_limits = {(uint64_t)opt.disk_bps, (uint64_t)opt.disk_iops},
        .vsock_fd = -1,
        .vsock_path = CTL_VSOCK_NAME,
        .console_fd = opt.console ? STDERR_FILENO : -1,
        .pagemap_fd = -1,
        .seccomp = !opt.no_jail,
    };
    int rv = opt.restore != NULL ? main_open_snapshot(c, err) : main_open_kernel(c, err);
    if (rv == 0)
        rv = main_open_disk(&c->disk, err);
    if (rv < 0)
        return rv;
    c->kvm_fd = main_open(AT_FDCWD, "/dev/kvm", O_RDWR, err);
    if (c->kvm_fd < 0)
        return c->kvm_fd;
    if (chdir(opt.dir) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "%s", opt.dir);
    c->vsock_fd = main_listen(CTL_VSOCK_NAME, err);
    *ret_ctl = c->vsock_fd < 0 ? -1 : main_listen(CTL_SOCKET_NAME, err);
    return *ret_ctl < 0 ? -EINVAL : 0;
}

/* Walls. */

/* The process outside: waits for word from inside, which is that it is ready or why it is not, then
 * leaves or stays for the exit status. */
static _Noreturn void main_outside(pid_t child, int ready_fd)
{
    char word[512];
    int status = 0;
    ssize_t n = opt.detach ? read(ready_fd, word, sizeof(word)) : 0;
    if (n > 0 && word[0] == MAIN_READY) {
        printf("%d\n", (int)child);
        exit(0);
    }
    if (n > 0)
        (void)!write(STDOUT_FILENO, word, (size_t)n);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Opened by the process that the map is of, while there is a /proc. */
static int main_open_pagemap(struct vm_config *c, struct error *err)
{
    if (opt.record)
        c->pagemap_fd = main_open(AT_FDCWD, "/proc/self/pagemap", O_RDONLY, err);
    return opt.record && c->pagemap_fd < 0 ? -EINVAL : 0;
}

/* Nothing of the caller's stays open: what is printed goes to the process outside. */
static int main_leave(int ready_fd)
{
    (void)setsid();
    cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    cleanup_close int ready = ready_fd;
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
        return -1;
    return dup2(ready, STDOUT_FILENO);
}

static int main_walls(struct vm_config *c, int *ret_ready_fd, struct error *err)
{
    int ready[2];
    pid_t child = 0;
    for (char *dir; (dir = strsep(&opt.cgroup, ":")) != NULL;) {
        if (isolate_cgroup(dir, err) < 0)
            return -EINVAL;
    }
    if (pipe2(ready, O_CLOEXEC) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "no pipe");
    int rv = isolate_namespaces(&child, err);
    if (rv < 0)
        return rv;
    (void)close(ready[child != 0 ? 1 : 0]);
    if (child != 0)
        main_outside(child, ready[0]);
    *ret_ready_fd = ready[1];
    if (opt.detach && (*ret_ready_fd = main_leave(ready[1])) < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "/dev/null");
    rv = main_open_pagemap(c, err);
    if (rv == 0)
        rv = isolate_root(err);
    if (rv == 0)
        rv = isolate_limits(err);
    return rv == 0 ? isolate_identity((uid_t)opt.uid, (gid_t)opt.gid, err) : rv;
}

static struct control main_control;

static void main_exited(void *ctx)
{
    struct vm *vm = ctx;
    control_exited(&main_control);
    loop_stop(&vm->loop);
}

static int main_run(struct vm *vm, int ready_fd, struct error *err)
{
    char quoted[2 * SERIAL_LINE];
    /* The threads come to the lock and wait there: none runs the guest before all filters are up,
     * and those that are to run it go straight on. */
    (void)pthread_mutex_lock(&vm->lock);
    int rv = vm_start_threads(vm, err);
    if (rv == 0 && vm->seccomp && filter_install(FILTER_LOOP) < 0)
        rv = error_set(err, ERROR_SANDBOX_FAILED, "the system call filter is refused");
    if (rv == 0 && !opt.paused)
        rv = vm_resume(vm);
    (void)pthread_mutex_unlock(&vm->lock);
    if (rv < 0)
        return rv;
    if (ready_fd >= 0) {
        (void)!write(ready_fd, &(char){MAIN_READY}, 1);
        (void)close(ready_fd);
    }
    loop_run(&vm->loop);
    log_info("the VM has ended", "reason=%d text=%s", vm->exit,
             log_quote(quoted, sizeof(quoted), vm->exit_text));
    return rv;
}

static int main_vm(struct error *err)
{
    static struct vm vm; /* too large for a stack */
    struct vm_config config;
    int ctl_fd = -1, ready_fd = -1;
    int rv = isolate_early(err);
    if (rv == 0)
        rv = main_open_all(&config, &ctl_fd, err);
    if (rv == 0)
        rv = opt.no_jail ? main_open_pagemap(&config, err) : main_walls(&config, &ready_fd, err);
    if (rv < 0)
        return rv;
    vm.exited = main_exited;
    vm.exited_ctx = &vm;
    rv = vm_init(&vm, &config, err);
    if (rv == 0)
        rv = control_init(&main_control, &vm, ctl_fd);
    if (rv == 0)
        rv = main_run(&vm, ready_fd, err);
    /* The kernel takes everything apart faster than vm_done would. */
    return rv < 0 ? rv : (int)vm.exit;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    char quoted[512];
    (void)signal(SIGPIPE, SIG_IGN);
    int rv = main_options(argc, argv, &err);
    if (rv == 0 && (opt.help || optind != argc)) {
        main_usage(opt.help ? stdout : stderr);
        return opt.help ? 0 : 2;
    }
    if (rv == 0)
        rv = main_vm(&err);
    if (rv < 0) {
        log_error("the VM cannot be started", "reason=%s",
                  log_quote(quoted, sizeof(quoted), err.message));
        if (opt.detach)
            printf("error %s\n", err.message);
        return 1;
    }
    return CTL_EXIT_STATUS + rv;
}
