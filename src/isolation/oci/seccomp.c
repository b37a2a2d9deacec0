/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.c - a list of what is allowed; everything else fails with EPERM. It has the calls that
 * interpreters, compilers, shells and servers make on an ordinary machine. Left out on purpose:
 *
 *   mount, umount2, pivot_root, chroot, unshare, setns, the new mount calls: walls of the sandbox
 *   clone with a namespace flag: an own user namespace opens most of the kernel's attack surface
 *   bpf, perf_event_open, userfaultfd, io_uring_*, keyctl, add_key, request_key: large, rarely
 *     needed, and the source of many kernel holes
 *   ptrace, process_vm_*, kcmp, pidfd_getfd: looking into other processes
 *   module, kexec, reboot, swap, quota, acct, clock setting, iopl, syslog: the machine's
 *   name_to_handle_at, open_by_handle_at: ways around the root directory
 */
#include "isolation/oci/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

struct syscall_group {
    const char *reason;
    const char *const *names;
};

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct syscall_group seccomp_allowed[] = {
    {"reading and writing open files",
     NAMES("read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev",
           "preadv2", "pwritev2", "lseek", "_llseek", "close", "close_range", "dup", "dup2", "dup3",
           "fcntl", "fcntl64", "flock", "ioctl", "sendfile", "sendfile64", "splice", "tee",
           "vmsplice", "copy_file_range", "readahead", "fadvise64", "fadvise64_64", "sync",
           "syncfs", "fsync", "fdatasync", "sync_file_range", "sync_file_range2")},
    {"paths: open, look, change; limited by ownership and the mount namespace",
     NAMES("open", "openat", "openat2", "creat", "access", "faccessat", "faccessat2", "stat",
           "stat64", "lstat", "lstat64", "fstat", "fstat64", "fstatat64", "newfstatat", "statx",
           "statfs", "statfs64", "fstatfs", "fstatfs64", "readlink", "readlinkat", "getcwd",
           "chdir", "fchdir", "getdents", "getdents64", "mkdir", "mkdirat", "rmdir", "unlink",
           "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
           "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "chown32", "fchown", "fchown32",
           "lchown", "lchown32", "fchownat", "umask", "utime", "utimes", "utimensat",
           "utimensat_time64", "futimesat", "truncate", "truncate64", "ftruncate", "ftruncate64",
           "fallocate", "mknod", "mknodat", "setxattr", "lsetxattr", "fsetxattr", "getxattr",
           "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr", "removexattr",
           "lremovexattr", "fremovexattr", "inotify_init", "inotify_init1", "inotify_add_watch",
           "inotify_rm_watch", "cachestat")},
    {"memory of the process itself",
     NAMES("brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "pkey_mprotect", "pkey_alloc",
           "pkey_free", "madvise", "process_madvise", "mincore", "msync", "mlock", "mlock2",
           "mlockall", "munlock", "munlockall", "remap_file_pages", "memfd_create", "membarrier",
           "get_mempolicy", "set_mempolicy", "mbind", "map_shadow_stack", "mseal", "memfd_secret",
           "process_mrelease")},
    {"starting, waiting for and ending processes (clone has a rule of its own below)",
     NAMES("fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid",
           "waitpid", "pidfd_open", "pidfd_send_signal", "kill", "tkill", "tgkill",
           "set_tid_address", "set_robust_list", "get_robust_list", "restart_syscall", "rseq",
           "arch_prctl", "set_thread_area", "get_thread_area", "prctl", "getpid", "getppid",
           "gettid", "getpgid", "getpgrp", "setpgid", "getsid", "setsid")},
    {"identity: the agent becomes the sandbox's user; gaining rights is ruled out by "
     "no_new_privileges",
     NAMES("getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid",
           "getegid32", "getresuid", "getresuid32", "getresgid", "getresgid32", "getgroups",
           "getgroups32", "setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32",
           "setregid", "setregid32", "setresuid", "setresuid32", "setresgid", "setresgid32",
           "setgroups", "setgroups32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "capget",
           "capset", "seccomp", "landlock_create_ruleset", "landlock_add_rule",
           "landlock_restrict_self")},
    {"signals",
     NAMES("rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigqueueinfo", "rt_sigreturn",
           "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
           "sigaltstack", "sigprocmask", "sigreturn", "signalfd", "signalfd4", "pause", "alarm")},
    {"time, read only, and timers",
     NAMES("clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64",
           "clock_nanosleep", "clock_nanosleep_time64", "nanosleep", "gettimeofday", "time",
           "times", "getitimer", "setitimer", "timer_create", "timer_settime", "timer_settime64",
           "timer_gettime", "timer_gettime64", "timer_getoverrun", "timer_delete", "timerfd_create",
           "timerfd_settime", "timerfd_settime64", "timerfd_gettime", "timerfd_gettime64",
           "adjtimex", "clock_adjtime", "clock_adjtime64")},
    {"waiting: event loops and locks",
     NAMES("poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64",
           "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_wait",
           "epoll_wait_old", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "futex",
           "futex_time64", "futex_waitv", "futex_wake", "futex_wait", "futex_requeue")},
    {"sockets; which families is ruled below, and there is no network but loopback",
     NAMES("socketcall", "bind", "listen", "accept", "accept4", "connect", "shutdown",
           "getsockname", "getpeername", "getsockopt", "setsockopt", "send", "sendto", "sendmsg",
           "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64", "pipe",
           "pipe2")},
    {"System V and POSIX inter-process communication, in an own ipc namespace",
     NAMES("ipc", "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop",
           "semtimedop_time64", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open",
           "mq_unlink", "mq_timedsend", "mq_timedsend_time64", "mq_timedreceive",
           "mq_timedreceive_time64", "mq_notify", "mq_getsetattr")},
    {"scheduling and limits of own processes",
     NAMES("sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam",
           "sched_setparam", "sched_getscheduler", "sched_setscheduler", "sched_getattr",
           "sched_setattr", "sched_get_priority_max", "sched_get_priority_min",
           "sched_rr_get_interval", "sched_rr_get_interval_time64", "getpriority", "setpriority",
           "ioprio_get", "ioprio_set", "getrlimit", "setrlimit", "ugetrlimit", "prlimit64",
           "getrusage", "getcpu")},
    {"facts about the machine and random numbers", NAMES("uname", "sysinfo", "getrandom")},
    {"asynchronous file input and output as databases use it",
     NAMES("io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents",
           "io_pgetevents_time64")},
};

/* AF_PACKET, AF_VSOCK, AF_ALG and the many rare families stay out. */
static const int socket_families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

/* What personality(2) may set: Linux, 32-bit Linux, without address randomisation; and asking. */
static const int64_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xffffffff};

#define CLONE_NAMESPACES                                                                           \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

static void seccomp_open_rule(struct jsonw *w, const char *name, const char *action)
{
    jsonw_object(w);
    jsonw_key(w, "names");
    jsonw_array(w);
    jsonw_str(w, name);
    jsonw_array_end(w);
    jsonw_key_str(w, "action", action);
}

static void seccomp_write_group(struct jsonw *w, const struct syscall_group *g)
{
    jsonw_object(w);
    jsonw_key(w, "names");
    jsonw_array(w);
    for (const char *const *name = g->names; *name != NULL; name++)
        jsonw_str(w, *name);
    jsonw_array_end(w);
    jsonw_key_str(w, "action", "SCMP_ACT_ALLOW");
    jsonw_object_end(w);
}

/* Allows `name` when its first argument, with `mask` applied if there is one, equals `value`. */
static void seccomp_write_arg_rule(struct jsonw *w, const char *name, const int64_t *mask,
                                   int64_t value)
{
    seccomp_open_rule(w, name, "SCMP_ACT_ALLOW");
    jsonw_key(w, "args");
    jsonw_array(w);
    jsonw_object(w);
    jsonw_key_int(w, "index", 0);
    jsonw_key_int(w, "value", mask != NULL ? *mask : value);
    if (mask != NULL)
        jsonw_key_int(w, "valueTwo", value);
    jsonw_key_str(w, "op", mask != NULL ? "SCMP_CMP_MASKED_EQ" : "SCMP_CMP_EQ");
    jsonw_object_end(w);
    jsonw_array_end(w);
    jsonw_object_end(w);
}

void oci_seccomp_write(struct jsonw *w)
{
    static const int64_t clone_mask = CLONE_NAMESPACES;
    jsonw_object(w);
    jsonw_key_str(w, "defaultAction", "SCMP_ACT_ERRNO");
    jsonw_key_int(w, "defaultErrnoRet", EPERM);
    jsonw_key(w, "syscalls");
    jsonw_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(seccomp_allowed); i++)
        seccomp_write_group(w, &seccomp_allowed[i]);
    for (size_t i = 0; i < ARRAY_SIZE(socket_families); i++) {
        seccomp_write_arg_rule(w, "socket", NULL, socket_families[i]);
        seccomp_write_arg_rule(w, "socketpair", NULL, socket_families[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(personalities); i++)
        seccomp_write_arg_rule(w, "personality", NULL, personalities[i]);
    seccomp_write_arg_rule(w, "clone", &clone_mask, 0);
    /* Its flags are in memory, out of a filter's sight: "not there" makes libraries use clone. */
    seccomp_open_rule(w, "clone3", "SCMP_ACT_ERRNO");
    jsonw_key_int(w, "errnoRet", ENOSYS);
    jsonw_object_end(w);
    jsonw_array_end(w);
    jsonw_object_end(w);
}
