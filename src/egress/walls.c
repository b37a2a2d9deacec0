/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/walls.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* What an argument must be for the call to be allowed: (argument & mask) == value. */
struct walls_arg {
    bool used;
    unsigned int number;
    uint64_t mask, value;
};

#define ANY                                                                                        \
    {                                                                                              \
        .used = false                                                                              \
    }
#define ARG(n, m, v)                                                                               \
    {                                                                                              \
        .used = true, .number = (n), .mask = (m), .value = (v)                                     \
    }
#define ARG_INT(n, v) ARG(n, UINT32_MAX, v)

static const struct {
    int syscall;
    struct walls_arg arg;
    const char *reason;
} walls_rules[] = {
    {SCMP_SYS(epoll_wait), ANY, "both loops"},
    {SCMP_SYS(epoll_pwait), ANY, "both loops, as libuv spells it"},
    {SCMP_SYS(epoll_ctl), ANY, "a new connection"},
    {SCMP_SYS(accept4), ANY, "a sandbox opens a flow"},
    {SCMP_SYS(socket), ARG_INT(0, AF_INET), "connections and questions to name servers"},
    {SCMP_SYS(socket), ARG_INT(0, AF_INET6), "the same"},
    {SCMP_SYS(connect), ANY, "the same"},
    {SCMP_SYS(setsockopt), ANY, "buffers, keepalive, RST"},
    {SCMP_SYS(getsockopt), ANY, "the outcome of a connection"},
    {SCMP_SYS(getsockname), ANY, "whether an address is the host's own"},
    {SCMP_SYS(getpeername), ANY, "c-ares: TCP to a name server"},
    {SCMP_SYS(shutdown), ANY, "half-closed flows"},
    {SCMP_SYS(close), ANY, "ended flows"},
    {SCMP_SYS(readv), ANY, "from the network"},
    {SCMP_SYS(read), ANY, "libuv's wake-ups, resolv.conf"},
    {SCMP_SYS(recvfrom), ANY, "from a sandbox, from name servers"},
    {SCMP_SYS(recvmsg), ANY, "control packets with their descriptors"},
    {SCMP_SYS(sendto), ANY, "to a sandbox, to the server, to name servers"},
    {SCMP_SYS(sendmsg), ANY, "to the network"},
    {SCMP_SYS(writev), ANY, "c-ares: TCP to a name server"},
    {SCMP_SYS(write), ANY, "log lines, libuv's wake-ups"},
    {SCMP_SYS(ioctl), ARG_INT(1, FIONBIO), "a listener that was made elsewhere; c-ares"},
    {SCMP_SYS(fcntl), ARG_INT(1, F_GETFL), "c-ares: a socket that does not block"},
    {SCMP_SYS(fcntl), ARG_INT(1, F_SETFL), "the same"},
    {SCMP_SYS(fcntl), ARG_INT(1, F_SETFD), "c-ares: a socket that is not inherited"},
    {SCMP_SYS(fcntl), ARG_INT(1, F_GETFD), "the same"},
    {SCMP_SYS(openat), ARG(2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY),
     "resolv.conf, which is read again when it has changed: its file is replaced, so a descriptor"
     " kept from the start would show the old one"},
    {SCMP_SYS(fstat), ANY, "resolv.conf"},
    {SCMP_SYS(newfstatat), ANY, "whether resolv.conf has changed"},
    {SCMP_SYS(lseek), ANY, "closing a file that was read in part"},
    {SCMP_SYS(uname), ANY, "c-ares: the domain of the host, when resolv.conf is read again"},
    {SCMP_SYS(getrandom), ANY, "c-ares: numbers of questions"},
    {SCMP_SYS(clock_gettime), ANY, "timers, where the vDSO cannot tell"},
    {SCMP_SYS(gettimeofday), ANY, "c-ares, where the vDSO cannot tell"},
    {SCMP_SYS(brk), ANY, "malloc"},
    {SCMP_SYS(mmap), ARG(2, PROT_EXEC, 0), "malloc, stdio; never code"},
    {SCMP_SYS(munmap), ANY, "free"},
    {SCMP_SYS(mremap), ANY, "realloc of a large buffer"},
    {SCMP_SYS(madvise), ANY, "memory given back"},
    {SCMP_SYS(mprotect), ARG(2, PROT_EXEC, 0), "growing a malloc arena"},
    {SCMP_SYS(futex), ANY, "locks of the C library"},
    {SCMP_SYS(rt_sigreturn), ANY, "the end of a signal handler"},
    {SCMP_SYS(rt_sigprocmask), ANY, "abort"},
    {SCMP_SYS(restart_syscall), ANY, "a wait interrupted by a stop signal"},
    {SCMP_SYS(getpid), ANY, "READY"},
    {SCMP_SYS(gettid), ANY, "abort"},
    {SCMP_SYS(tgkill), ANY, "abort"},
    {SCMP_SYS(exit), ANY, "the end"},
    {SCMP_SYS(exit_group), ANY, "the end"},
};

static int walls_limit(int resource, rlim_t value)
{
    const struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    return setrlimit((__rlimit_resource_t)resource, &limit) < 0 ? -errno : 0;
}

int walls_limits(size_t *ret)
{
    struct rlimit fds;
    if (getrlimit(RLIMIT_NOFILE, &fds) < 0)
        return -errno;
    rlim_t most = MIN(fds.rlim_max, (rlim_t)WALLS_MAX_FDS);
    int rv = walls_limit(RLIMIT_NOFILE, most);
    if (rv == 0)
        rv = walls_limit(RLIMIT_CORE, 0);
    *ret = (size_t)most;
    return rv;
}

static int walls_drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

int walls_identity(int64_t uid, int64_t gid)
{
    gid_t group = (gid_t)gid;
    uid_t user = (uid_t)uid;
    if (gid >= 0 && (setgroups(0, NULL) < 0 || setresgid(group, group, group) < 0))
        return -errno;
    if (uid >= 0 && setresuid(user, user, user) < 0)
        return -errno;
    int rv = walls_drop_capabilities();
    if (rv == 0 &&
        (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
        rv = -errno;
    return rv;
}

/* Takes the filter; `rv` is how its rules went. */
static int walls_load(scmp_filter_ctx ctx, int rv)
{
    if (rv == 0)
        rv = seccomp_load(ctx);
    seccomp_release(ctx);
    return rv;
}

int walls_no_rings(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (ctx == NULL)
        return -ENOMEM;
    return walls_load(ctx,
                      seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0));
}

int walls_filter(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (ctx == NULL)
        return -ENOMEM;
    int rv = 0;
    for (size_t i = 0; i < ARRAY_SIZE(walls_rules) && rv == 0; i++) {
        const struct walls_arg *a = &walls_rules[i].arg;
        const struct scmp_arg_cmp cmp = SCMP_CMP64(a->number, SCMP_CMP_MASKED_EQ, a->mask,
                                                   a->value);
        rv = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, walls_rules[i].syscall, a->used ? 1 : 0,
                                    &cmp);
    }
    return walls_load(ctx, rv);
}
