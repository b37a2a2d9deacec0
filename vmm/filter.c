/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base.h"

#define RULE_MAX_ARGS 2u
#define ANY                                                                                        \
    {                                                                                              \
        0                                                                                          \
    }
#define ARG_IS(n, v)                                                                               \
    {                                                                                              \
        .used = true, .arg = (n), .value = (v)                                                     \
    }

struct rule_arg {
    bool used;
    unsigned int arg;
    uint64_t value;
};

struct rule {
    int syscall;
    struct rule_arg arg[RULE_MAX_ARGS];
    const char *reason;
};

/* What every thread of a C program needs. */
static const struct rule rules_common[] = {
    {SCMP_SYS(futex), {ANY}, "the VM's lock and condition variables"},
    {SCMP_SYS(rt_sigreturn), {ANY}, "the end of a signal handler"},
    {SCMP_SYS(rt_sigprocmask), {ANY}, "pthread_exit and abort block signals"},
    {SCMP_SYS(restart_syscall), {ANY}, "a wait interrupted by a stop signal"},
    {SCMP_SYS(gettid), {ANY}, "a thread that signals itself"},
    {SCMP_SYS(exit), {ANY}, "the end of a thread"},
    {SCMP_SYS(exit_group), {ANY}, "the end of the process"},
    {SCMP_SYS(munmap), {ANY}, "free, and the stack of a thread that ends"},
    {SCMP_SYS(madvise), {ANY}, "the stack of a thread that ends, memory given back"},
    {SCMP_SYS(write), {ANY}, "interrupt eventfds, log lines, the console copy"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_IRQ_LINE)}, "the serial port's interrupt"},
};

static const struct rule rules_vcpu[] = {
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_RUN)}, "running the guest"},
    {SCMP_SYS(tgkill), {ANY}, "a vCPU that sees the end of the guest stops the others"},
    {SCMP_SYS(getpid), {ANY}, "part of pthread_kill"},
};

static const struct rule rules_loop[] = {
    {SCMP_SYS(epoll_wait), {ANY}, "the loop"},
    {SCMP_SYS(epoll_ctl), {ANY}, "a new or a closed connection"},
    {SCMP_SYS(clock_gettime), {ANY}, "timers, where the vDSO cannot tell"},
    {SCMP_SYS(clock_nanosleep), {ANY}, "timed waits"},
    {SCMP_SYS(read), {ANY}, "eventfds"},
    {SCMP_SYS(readv), {ANY}, "vsock: host socket to guest memory"},
    {SCMP_SYS(close), {ANY}, "ended connections"},
    {SCMP_SYS(fstat), {ANY}, "snapshot files handed over"},
    {SCMP_SYS(newfstatat), {ANY}, "the same, as newer C libraries spell it"},
    {SCMP_SYS(accept4), {ANY}, "vsock and control clients"},
    {SCMP_SYS(socket), {ARG_IS(0, AF_UNIX)}, "vsock: the guest connects to the host"},
    {SCMP_SYS(connect), {ANY}, "vsock: the guest connects to the host"},
    {SCMP_SYS(shutdown), {ANY}, "vsock: half-closed connections"},
    {SCMP_SYS(sendmsg), {ANY}, "vsock: guest memory to host socket"},
    {SCMP_SYS(sendto), {ANY}, "vsock greeting, control replies"},
    {SCMP_SYS(recvfrom), {ANY}, "vsock greeting"},
    {SCMP_SYS(recvmsg), {ANY}, "control requests and the files that come with them"},
    {SCMP_SYS(getrandom), {ANY}, "the entropy device, snapshot ids"},
    {SCMP_SYS(preadv), {ANY}, "disk reads"},
    {SCMP_SYS(pwritev), {ANY}, "disk writes, snapshot files"},
    {SCMP_SYS(pread64), {ANY}, "the map of touched pages"},
    {SCMP_SYS(fdatasync), {ANY}, "disk flush"},
    {SCMP_SYS(fallocate), {ANY}, "discard"},
    {SCMP_SYS(ftruncate), {ANY}, "the size of a snapshot's memory file"},
    {SCMP_SYS(brk), {ANY}, "malloc"},
    {SCMP_SYS(mmap), {ARG_IS(2, PROT_READ | PROT_WRITE)}, "malloc, memory given back; never code"},
    {SCMP_SYS(mremap), {ANY}, "realloc of a large buffer"},
    {SCMP_SYS(mprotect), {ARG_IS(2, PROT_READ | PROT_WRITE)}, "growing a malloc arena"},
    {SCMP_SYS(tgkill), {ANY}, "asking a vCPU to come to rest"},
    {SCMP_SYS(getpid), {ANY}, "part of pthread_kill"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_RUN)}, "finishing the I/O of a vCPU at rest"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_IRQCHIP)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_CLOCK)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_MP_STATE)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_CPUID2)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_TSC_KHZ)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_REGS)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_XCRS)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_XSAVE)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_SREGS)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_DEBUGREGS)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_LAPIC)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_MSR_INDEX_LIST)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_MSRS)}, "snapshot"},
    {SCMP_SYS(ioctl), {ARG_IS(1, KVM_GET_VCPU_EVENTS)}, "snapshot"},
};

static int filter_add(scmp_filter_ctx ctx, const struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct scmp_arg_cmp cmp[RULE_MAX_ARGS];
        unsigned int n = 0;
        for (size_t a = 0; a < RULE_MAX_ARGS; a++) {
            if (rules[i].arg[a].used)
                /* The kernel looks at 32 bits of these arguments; so does the filter. */
                cmp[n++] = SCMP_CMP(rules[i].arg[a].arg, SCMP_CMP_MASKED_EQ, UINT32_MAX,
                                    rules[i].arg[a].value & UINT32_MAX);
        }
        int rv = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].syscall, n, cmp);
        if (rv < 0)
            return rv;
    }
    return 0;
}

int filter_install(enum filter_kind kind)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (ctx == NULL)
        return -ENOMEM;
    int rv = filter_add(ctx, rules_common, ARRAY_SIZE(rules_common));
    if (rv == 0 && kind == FILTER_LOOP)
        rv = filter_add(ctx, rules_loop, ARRAY_SIZE(rules_loop));
    if (rv == 0 && kind == FILTER_VCPU)
        rv = filter_add(ctx, rules_vcpu, ARRAY_SIZE(rules_vcpu));
    if (rv == 0)
        rv = seccomp_load(ctx);
    seccomp_release(ctx);
    return rv;
}
