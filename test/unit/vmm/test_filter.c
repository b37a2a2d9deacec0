/* SPDX-License-Identifier: Apache-2.0 */
/* The system call filters, each tried in a child of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/base.h"
#include "filter.h"
#include "t.h"

static void open_file(void)
{
    (void)syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
}

static void make_process(void)
{
    (void)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void run_program(void)
{
    (void)syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static void map_code(void)
{
    (void)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void network(void)
{
    (void)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void trace(void)
{
    (void)syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void other_ioctl(void)
{
    (void)syscall(SYS_ioctl, 0, 0x5401, 0);
}

static void read_byte(void)
{
    char c;
    (void)syscall(SYS_read, -1, &c, 1);
}

static void kill_parent(void)
{
    (void)syscall(SYS_kill, getppid(), 0);
}

static void set_size(void)
{
    (void)syscall(SYS_ftruncate, -1, 0);
}

static void allocate(void)
{
    (void)syscall(SYS_fallocate, -1, 0, 0, 1);
}

static void punch(void)
{
    (void)syscall(SYS_fallocate, -1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1);
}

/* As a thread is made, but for what makes it one. */
static void make_fork_with_clone3(void)
{
    struct {
        uint64_t flags, rest[7];
    } args = {.rest = {[3] = SIGCHLD}};
    if (syscall(SYS_clone3, &args, sizeof(args)) != -1 || errno != ENOSYS)
        abort();
}

/* As threads do it that come after the machine was built. */
static void install_loop_filter(void)
{
    if (filter_install(FILTER_LOOP) < 0)
        abort();
    make_process();
}

static void write_byte(void)
{
    (void)syscall(SYS_write, -1, "", 1);
}

static void unix_socket(void)
{
    (void)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
}

/* The status of a child that installs the filter and makes the call. */
static int try(enum filter_kind kind, void (*call)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install(kind) < 0)
            _exit(9);
        call();
        syscall(SYS_exit_group, 0);
    }
    T_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

static void forbidden_calls_kill(void)
{
    static void (*const all[])(void) = {open_file, make_process, run_program, map_code, network,
                                        trace,     other_ioctl,  kill_parent, set_size, allocate};
    static const enum filter_kind kinds[] = {FILTER_BUILD, FILTER_LOOP, FILTER_DISK, FILTER_VCPU};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
            T_EQ(WTERMSIG(try(kinds[k], all[i])), SIGSYS);
    }
}

static void building_makes_no_processes(void)
{
    T_EQ(try(FILTER_BUILD, make_fork_with_clone3), 0);
    T_EQ(WTERMSIG(try(FILTER_BUILD, install_loop_filter)), SIGSYS);
}

static void a_vcpu_may_less_than_the_loop(void)
{
    T_EQ(try(FILTER_LOOP, read_byte), 0);
    T_EQ(try(FILTER_LOOP, unix_socket), 0);
    T_EQ(try(FILTER_DISK, punch), 0);
    T_EQ(WTERMSIG(try(FILTER_DISK, read_byte)), SIGSYS);
    T_EQ(WTERMSIG(try(FILTER_LOOP, punch)), SIGSYS);
    T_EQ(WTERMSIG(try(FILTER_VCPU, read_byte)), SIGSYS);
    T_EQ(WTERMSIG(try(FILTER_VCPU, unix_socket)), SIGSYS);
    T_EQ(try(FILTER_VCPU, write_byte), 0);
}

T_MAIN(T_CASE(forbidden_calls_kill), T_CASE(building_makes_no_processes),
       T_CASE(a_vcpu_may_less_than_the_loop))
