/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.c - system call filters as tables: a call, perhaps one of its arguments, and the reason.
 *
 * One table is for all threads, one for each kind of them, and one for the time in which the
 * machine is built. The last is on top of what comes later: filters only ever take away, so it
 * allows what all threads will need. They are turned into a program of classic BPF that tries one
 * rule after the other. What is not listed ends the process: a guest that has taken over the VMM is
 * not to learn from an error code what else it might try.
 *
 * vCPU threads run what a guest controls most directly, so they may do next to nothing. The loop
 * may not open a file, start a program, make memory executable, or change the size of a file; what
 * it needs was opened before.
 */
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/base.h"
#include "vcpu.h"

#define SYS(name) SYS_##name
#define ANY                                                                                        \
    {                                                                                              \
        0                                                                                          \
    }
#define ARG_IS(n, v)                                                                               \
    {                                                                                              \
        .used = true, .arg = (n), .value = (v)                                                     \
    }

#define FILTER_MAX    1024 /* instructions: two or five for each rule, and a few around them */
#define FILTER_NUMBER offsetof(struct seccomp_data, nr)
#define FILTER_ARG(n) (uint32_t)(offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t))

struct rule_arg {
    bool used;
    unsigned int arg;
    uint64_t value;
};

struct rule {
    int syscall;
    struct rule_arg arg;
    const char *reason;
    int error; /* not 0: the call is not made, and fails with this */
};

/* What every thread of a C program needs. */
static const struct rule rules_common[] = {
    {SYS(futex), ANY, "the VM's lock and condition variables"},
    {SYS(rt_sigreturn), ANY, "the end of a signal handler"},
    {SYS(rt_sigprocmask), ANY, "pthread_exit and abort block signals"},
    {SYS(restart_syscall), ANY, "a wait interrupted by a stop signal"},
    {SYS(gettid), ANY, "a thread that signals itself"},
    {SYS(exit), ANY, "the end of a thread"},
    {SYS(exit_group), ANY, "the end of the process"},
    {SYS(munmap), ANY, "free, and the stack of a thread that ends"},
    {SYS(madvise), ANY, "the stack of a thread that ends, memory given back"},
    {SYS(write), ANY, "interrupt eventfds, log lines, the console copy"},
    {SYS(ioctl), ARG_IS(1, KVM_IRQ_LINE), "the serial port's interrupt"},
};

/* No read, no open, no clock: a guest access that needs more is left to the loop. */
static const struct rule rules_vcpu[] = {
    {SYS(ioctl), ARG_IS(1, KVM_RUN), "running the guest"},
    {SYS(tgkill), ANY, "a vCPU that sees the end of the guest stops the others"},
    {SYS(getpid), ANY, "part of pthread_kill"},
};

/* Descriptors are not judged: all that are open belong to this VM. A path leads into the sandbox's
 * directory and no further. */
static const struct rule rules_loop[] = {
    {SYS(epoll_wait), ANY, "the loop"},
    {SYS(epoll_ctl), ANY, "a new or a closed connection"},
    {SYS(clock_gettime), ANY, "timers, where the vDSO cannot tell"},
    {SYS(clock_nanosleep), ANY, "timed waits"},
    {SYS(read), ANY, "eventfds"},
    {SYS(readv), ANY, "vsock: host socket to guest memory"},
    {SYS(close), ANY, "ended connections"},
    {SYS(fstat), ANY, "snapshot files handed over"},
    {SYS(newfstatat), ANY, "the same, as newer C libraries spell it"},
    {SYS(accept4), ANY, "vsock and control clients"},
    {SYS(socket), ARG_IS(0, AF_UNIX), "vsock: the guest connects to the host"},
    {SYS(connect), ANY, "vsock: the guest connects to the host"},
    {SYS(setsockopt), ARG_IS(2, SO_SNDBUF), "vsock: bytes that the kernel keeps"},
    {SYS(shutdown), ANY, "vsock: half-closed connections"},
    {SYS(sendmsg), ANY, "vsock: guest memory to host socket"},
    {SYS(sendto), ANY, "vsock greeting, control replies"},
    {SYS(recvfrom), ANY, "vsock greeting"},
    {SYS(recvmsg), ANY, "control requests and the files that come with them"},
    {SYS(getrandom), ANY, "the entropy device, snapshot ids"},
    {SYS(preadv2), ARG_IS(5, RWF_NOWAIT), "disk reads that do not block"},
    {SYS(pwritev), ANY, "snapshot files"},
    {SYS(pread64), ANY, "the map of touched pages: differences, working sets"},
    {SYS(fdatasync), ANY, "the disk of a snapshot"},
    {SYS(brk), ANY, "malloc"},
    {SYS(mmap), ARG_IS(2, PROT_READ | PROT_WRITE), "malloc, memory given back; never code"},
    {SYS(mremap), ANY, "realloc of a large buffer"},
    {SYS(mprotect), ARG_IS(2, PROT_READ | PROT_WRITE), "growing a malloc arena"},
    {SYS(tgkill), ANY, "asking a vCPU to come to rest"},
    {SYS(getpid), ANY, "part of pthread_kill"},
    {SYS(ioctl), ARG_IS(1, KVM_RUN), "finishing the I/O of a vCPU at rest"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_IRQCHIP), "snapshot"},
    {SYS(ioctl), ARG_IS(1, VCPU_PREFAULT), "making ready what code will need"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_CLOCK), "pause, snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_CLOCK), "resume"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_MP_STATE), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_CPUID2), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_TSC_KHZ), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_REGS), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_XCRS), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_XSAVE), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_SREGS), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_DEBUGREGS), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_LAPIC), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_MSR_INDEX_LIST), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_MSRS), "snapshot"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_VCPU_EVENTS), "snapshot"},
};

static const struct rule rules_disk[] = {
    {SYS(preadv), ANY, "disk reads"},
    {SYS(pwritev), ANY, "disk writes"},
    {SYS(fdatasync), ANY, "disk flush"},
    {SYS(fallocate), ARG_IS(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), "discard"},
};

/* A thread, and nothing that is more than one. */
#define FILTER_THREAD                                                                              \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |            \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* While files are read that somebody may have made up, and KVM is told what they say. Nothing is
 * opened any more, and no process can be made. */
static const struct rule rules_build[] = {
    {SYS(eventfd2), ANY, "notifications and interrupts"},
    {SYS(epoll_create1), ANY, "the loop"},
    {SYS(lseek), ANY, "holes of the overlay's map, sizes"},
    {SYS(flock), ANY, "the overlay, so that no other VM has it"},
    {SYS(rt_sigaction), ANY, "the signal that stops a vCPU"},
    {SYS(mmap), ARG_IS(2, PROT_NONE), "the stack of a thread"},
    {SYS(clone3), ANY, "its flags cannot be judged, and clone is there for it", ENOSYS},
    {SYS(clone), ARG_IS(0, FILTER_THREAD), "threads"},
    {SYS(set_robust_list), ANY, "the start of a thread"},
    {SYS(rseq), ANY, "the start of a thread"},
    {SYS(prctl), ARG_IS(0, PR_SET_NAME), "the name of a thread"},
    {SYS(prctl), ARG_IS(0, PR_SET_SECCOMP), "the filters of threads"},
    {SYS(ioctl), ARG_IS(1, KVM_CHECK_EXTENSION), "what KVM can do"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_API_VERSION), "what KVM can do"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_VCPU_MMAP_SIZE), "what KVM can do"},
    {SYS(ioctl), ARG_IS(1, KVM_GET_SUPPORTED_CPUID), "what KVM can do"},
    {SYS(ioctl), ARG_IS(1, KVM_CREATE_VM), "the machine"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_TSS_ADDR), "the machine"},
    {SYS(ioctl), ARG_IS(1, KVM_CREATE_IRQCHIP), "the machine"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_USER_MEMORY_REGION), "the machine"},
    {SYS(ioctl), ARG_IS(1, KVM_CREATE_VCPU), "the machine"},
    {SYS(ioctl), ARG_IS(1, KVM_IRQFD), "the machine"},
    {SYS(ioctl), ARG_IS(1, KVM_IOEVENTFD), "the machine"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_CPUID2), "boot, restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_XCRS), "boot, restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_SREGS), "boot, restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_REGS), "boot, restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_IRQCHIP), "restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_TSC_KHZ), "restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_XSAVE), "restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_DEBUGREGS), "restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_LAPIC), "restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_MSRS), "restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_VCPU_EVENTS), "restore"},
    {SYS(ioctl), ARG_IS(1, KVM_SET_MP_STATE), "restore"},
};

static const struct table {
    const struct rule *rules;
    size_t count;
} filter_tables[] = {
    {rules_common, ARRAY_SIZE(rules_common)}, {rules_vcpu, ARRAY_SIZE(rules_vcpu)},
    {rules_loop, ARRAY_SIZE(rules_loop)},     {rules_disk, ARRAY_SIZE(rules_disk)},
    {rules_build, ARRAY_SIZE(rules_build)},
};

/* Bits: the tables above that each kind has. What runs most often is tried first. */
static const unsigned int filter_kinds[] = {[FILTER_VCPU] = 1 | 2,
                                            [FILTER_LOOP] = 1 | 4,
                                            [FILTER_DISK] = 1 | 8,
                                            [FILTER_BUILD] = 1 | 2 | 4 | 8 | 16};

/* The number of the call is in the accumulator, and is there again when a rule does not match. */
static void filter_add(struct sock_fprog *p, const struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct rule *r = &rules[i];
        struct sock_filter *f = p->filter + p->len;
        uint8_t skip = r->arg.used ? 4 : 1;
        *f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->syscall, 0,
                                            skip);
        if (r->arg.used) {
            /* The kernel looks at 32 bits of these arguments; so does the filter. */
            *f++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FILTER_ARG(r->arg.arg));
            *f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->arg.value,
                                                0, 1);
        }
        *f++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                            r->error != 0 ? SECCOMP_RET_ERRNO | (uint32_t)r->error
                                                          : SECCOMP_RET_ALLOW);
        if (r->arg.used)
            *f++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FILTER_NUMBER);
        p->len = (unsigned short)(f - p->filter);
    }
}

int filter_install(enum filter_kind kind)
{
    /* The numbers of calls are those of one architecture; under another one the same number is
     * another call. */
    static const struct sock_filter start[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FILTER_NUMBER),
    };
    struct sock_filter code[FILTER_MAX];
    struct sock_fprog p = {.len = ARRAY_SIZE(start), .filter = code};
    memcpy(code, start, sizeof(start));
    for (size_t i = 0; i < ARRAY_SIZE(filter_tables); i++) {
        if ((filter_kinds[kind] & 1u << i) != 0)
            filter_add(&p, filter_tables[i].rules, filter_tables[i].count);
    }
    code[p.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p, 0, 0) < 0 ? -errno : 0;
}
