/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c - the guest that measures KVM.
 *
 * The happy path is: a child process makes a VM with one virtual CPU and a page of code, runs it
 * until it writes to a port, and sends what it measured through a pipe.
 * Possible failure modes are:
 * - A step fails: its reason is the child's answer.
 * - The guest is too slow: an interval timer interrupts KVM_RUN, and the instructions of the time
 *   until then make the rate.
 * - KVM hangs, so that no signal helps: the parent waits PROBE_HANG_MS for the answer and leaves
 * the child behind.
 */
#include "isolation/kvm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define PROBE_HANG_MS 1500 /* the child is given up after this */
#define PROBE_TRIES   5

#ifdef __x86_64__

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>

#define PROBE_TURNS    (1u << 22) /* of a loop of two instructions: 10 ms or less on hardware */
#define PROBE_LIMIT_MS 160 /* of CPU time for the loop; at KVM_PROBE_MIN_RATE it needs 168 ms */
#define GUEST_MEMORY   0x8000
#define GUEST_PML4     0x1000
#define GUEST_PDPT     0x2000
#define GUEST_PD       0x3000
#define GUEST_CODE     0x4000
#define GUEST_PORT     0x10

#define PAGE_PRESENT  0x1u
#define PAGE_WRITABLE 0x2u
#define PAGE_LARGE    0x80u
#define CR0_PE        0x1u
#define CR0_PG        0x80000000u
#define CR4_PAE       0x20u
#define EFER_LME      0x100u
#define EFER_LMA      0x400u
#define CPUID_ENTRIES 256 /* KVM has no more */

/* again: sub ecx, 1; jnz again; out GUEST_PORT, al */
static const uint8_t guest_code[] = {0x83, 0xe9, 0x01, 0x75, 0xfb, 0xe6, GUEST_PORT};

/* What a microVM is built on. */
static const struct {
    int cap;
    const char *name;
} capabilities[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    {KVM_CAP_XCRS, "KVM_CAP_XCRS"},
    {KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

/* What the child hands to its parent. */
struct probe_answer {
    int result;
    struct kvm_probe_result measured;
    struct error err;
};

struct probe {
    int kvm, vm, vcpu;
    uint8_t *memory;
    struct kvm_run *run;
    struct probe_answer answer;
};

static struct kvm_run *probe_run_page; /* for the signal handler */

static int probe_fail(struct probe *p, const char *what)
{
    return error_set_errno(&p->answer.err, ERROR_UNAVAILABLE, -errno, "%s", what);
}

static int probe_open(struct probe *p)
{
    p->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (p->kvm < 0)
        return probe_fail(p, "/dev/kvm");
    int version = ioctl(p->kvm, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION) {
        (void)error_set(&p->answer.err, ERROR_UNAVAILABLE, "/dev/kvm speaks version %d, not %d",
                        version, KVM_API_VERSION);
        return -EOPNOTSUPP;
    }
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
        if (ioctl(p->kvm, KVM_CHECK_EXTENSION, capabilities[i].cap) <= 0) {
            (void)error_set(&p->answer.err, ERROR_UNAVAILABLE, "KVM lacks %s",
                            capabilities[i].name);
            return -EOPNOTSUPP;
        }
    }
    return 0;
}

static int probe_create(struct probe *p)
{
    p->vm = ioctl(p->kvm, KVM_CREATE_VM, 0);
    if (p->vm < 0)
        return probe_fail(p, "creating a VM");
    p->memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    if (p->memory == MAP_FAILED)
        return probe_fail(p, "guest memory");
    struct kvm_userspace_memory_region region = {
        .memory_size = GUEST_MEMORY,
        .userspace_addr = (uint64_t)(uintptr_t)p->memory,
    };
    if (ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return probe_fail(p, "guest memory");
    p->vcpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
    int size = ioctl(p->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (p->vcpu < 0 || size < (int)sizeof(*p->run))
        return probe_fail(p, "creating a virtual CPU");
    p->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
    return p->run == MAP_FAILED ? probe_fail(p, "the virtual CPU's page") : 0;
}

/* Kernels of 2026 check EFER against the guest's CPUID: without one there is no long mode. */
static int probe_cpuid(struct probe *p)
{
    _Alignas(struct kvm_cpuid2) char
        space[sizeof(struct kvm_cpuid2) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2)] = {0};
    struct kvm_cpuid2 *table = (void *)space;
    table->nent = CPUID_ENTRIES;
    if (ioctl(p->kvm, KVM_GET_SUPPORTED_CPUID, table) < 0 ||
        ioctl(p->vcpu, KVM_SET_CPUID2, table) < 0)
        return probe_fail(p, "setting the guest's CPUID");
    return 0;
}

static void put_entry(struct probe *p, size_t table, uint64_t entry)
{
    memcpy(p->memory + table, &entry, sizeof(entry));
}

/* Long mode with flat segments and the first 2 MiB mapped one to one. */
static int probe_set_up(struct probe *p)
{
    put_entry(p, GUEST_PML4, GUEST_PDPT | PAGE_PRESENT | PAGE_WRITABLE);
    put_entry(p, GUEST_PDPT, GUEST_PD | PAGE_PRESENT | PAGE_WRITABLE);
    put_entry(p, GUEST_PD, PAGE_LARGE | PAGE_PRESENT | PAGE_WRITABLE);
    memcpy(p->memory + GUEST_CODE, guest_code, sizeof(guest_code));

    struct kvm_sregs s;
    if (ioctl(p->vcpu, KVM_GET_SREGS, &s) < 0)
        return probe_fail(p, "reading registers");
    const struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 0x8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    struct kvm_segment data = code;
    data.selector = 0x10;
    data.type = 3;
    data.l = 0;
    data.db = 1;
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cr0 = CR0_PE | CR0_PG;
    s.cr3 = GUEST_PML4;
    s.cr4 = CR4_PAE;
    s.efer = EFER_LME | EFER_LMA;
    const struct kvm_regs r = {.rip = GUEST_CODE, .rcx = PROBE_TURNS, .rflags = 0x2};
    if (ioctl(p->vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(p->vcpu, KVM_SET_REGS, &r) < 0)
        return probe_fail(p, "setting registers");
    return 0;
}

static void probe_on_alarm(int sig)
{
    probe_run_page->immediate_exit = 1; /* also when the signal comes just before KVM_RUN */
}

/* Of this process alone: a host that is busy with others is not slow. */
static uint64_t probe_cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int probe_run(struct probe *p)
{
    const struct itimerval alarm = {.it_value = {.tv_usec = PROBE_LIMIT_MS * 1000},
                                    .it_interval = {.tv_usec = 10000}};
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPROF);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    probe_run_page = p->run;
    (void)sigaction(SIGPROF, &(struct sigaction){.sa_handler = probe_on_alarm}, NULL);
    (void)setitimer(ITIMER_PROF, &alarm, NULL);
    uint64_t begin = probe_cpu_ns();
    int r = ioctl(p->vcpu, KVM_RUN, 0);
    int error = errno;
    uint64_t elapsed = probe_cpu_ns() - begin;
    (void)setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);

    struct kvm_regs regs;
    if (ioctl(p->vcpu, KVM_GET_REGS, &regs) < 0)
        return probe_fail(p, "reading registers");
    bool done = r == 0 && p->run->exit_reason == KVM_EXIT_IO && p->run->io.port == GUEST_PORT;
    if (!done && (r == 0 || error != EINTR)) {
        (void)error_set(&p->answer.err, ERROR_UNAVAILABLE,
                        "the guest's loop ended with exit reason %u", p->run->exit_reason);
        return -EIO;
    }
    struct kvm_probe_result *m = &p->answer.measured;
    m->instructions = 2 * (PROBE_TURNS - MIN(regs.rcx, PROBE_TURNS));
    m->elapsed_ns = MAX(elapsed, 1);
    m->rate = m->instructions * 1000000000u / m->elapsed_ns;
    return 0;
}

static int probe_judge(struct probe *p)
{
    const struct kvm_probe_result *m = &p->answer.measured;
    if (m->rate >= KVM_PROBE_MIN_RATE)
        return 0;
    (void)error_set(&p->answer.err, ERROR_UNAVAILABLE,
                    "KVM is too slow: %.1f million guest kernel instructions a second, at least %u "
                    "million are needed (an emulated KVM?)",
                    (double)m->rate / 1e6, KVM_PROBE_MIN_RATE / 1000000u);
    return -ERANGE;
}

static int (*const probe_steps[])(struct probe *) = {probe_open,   probe_create, probe_cpuid,
                                                     probe_set_up, probe_run,    probe_judge};

static _Noreturn void probe_child(int out)
{
    struct probe p = {0};
    for (size_t i = 0; i < ARRAY_SIZE(probe_steps) && p.answer.result == 0; i++)
        p.answer.result = probe_steps[i](&p);
    ssize_t n = write(out, &p.answer, sizeof(p.answer));
    _exit(n == (ssize_t)sizeof(p.answer) ? 0 : 1);
}

/* Never waits for a child that cannot be killed. */
static void probe_end(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    for (int i = 0; i < 50 && waitpid(pid, NULL, WNOHANG) == 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static int probe_once(struct kvm_probe_result *ret, struct error *err)
{
    struct probe_answer answer = {0};
    int fds[2];
    *ret = (struct kvm_probe_result){0};
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set_errno(err, ERROR_UNAVAILABLE, -errno, "pipe");
    cleanup_close int in = fds[0];
    pid_t pid = fork();
    if (pid == 0)
        probe_child(fds[1]);
    (void)close(fds[1]);
    if (pid < 0)
        return error_set_errno(err, ERROR_UNAVAILABLE, -errno, "fork");

    struct pollfd p = {.fd = in, .events = POLLIN};
    int n = poll(&p, 1, PROBE_HANG_MS);
    ssize_t len = n > 0 ? read(in, &answer, sizeof(answer)) : 0;
    probe_end(pid);
    if (n == 0) {
        (void)error_set(err, ERROR_UNAVAILABLE, "KVM hangs: no answer within %d ms", PROBE_HANG_MS);
        return -ETIMEDOUT;
    }
    if (len != (ssize_t)sizeof(answer)) {
        (void)error_set(err, ERROR_UNAVAILABLE, "the probe of KVM died");
        return -EIO;
    }
    *ret = answer.measured;
    if (answer.result < 0 && err != NULL)
        *err = answer.err;
    return answer.result;
}

/* When this machine is a virtual one itself, time that its host takes away counts as used: what
 * looks slow is asked again, and what is far too slow not as often. */
int kvm_probe(struct kvm_probe_result *ret, struct error *err)
{
    int rv = probe_once(ret, err);
    for (int i = 1; i < PROBE_TRIES && rv == -ERANGE;
         i += ret->rate < KVM_PROBE_MIN_RATE / 10 ? 2 : 1)
        rv = probe_once(ret, err);
    return rv;
}

#else

int kvm_probe(struct kvm_probe_result *ret, struct error *err)
{
    *ret = (struct kvm_probe_result){0};
    (void)error_set(err, ERROR_UNAVAILABLE, "microVMs are made on x86-64 only");
    return -EOPNOTSUPP;
}

#endif
