/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.c - a vCPU's thread.
 *
 * Happy path: wait for `want_run` with the lock held, release the lock, KVM_RUN until something
 * needs an answer, give it through `ops`, run again.
 *
 * To stop it from another thread takes two things at once. immediate_exit makes the next KVM_RUN
 * return at once; the signal makes the current one return. Either alone would lose a race: a
 * signal that comes just before the ioctl is spent in the handler, and the flag is only read when
 * the ioctl begins (Documentation/virt/kvm/api.rst, immediate_exit). The handler does nothing.
 *
 * Who may touch what: `run` and `exits` belong to the thread while it runs; immediate_exit may be
 * set by anyone; want_run, parked and quit are under the VM's lock.
 *
 * Failure: a guest that cannot continue is reported through `ended`, once, and its thread parks
 * for good. The thread never ends the process itself.
 */
#include "vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "cpuid.h"

#define VCPU_SIGNAL  SIGUSR1
#define VCPU_STACK   (256u << 10)
#define VCPU_CR0     0x80000031ull /* PG, NE, ET, PE */
#define VCPU_CR4_PAE 0x20ull
#define VCPU_EFER    0x500ull /* LME, LMA */

static void vcpu_on_signal(int sig)
{
    (void)sig; /* its arrival is the message: KVM_RUN returns */
}

int vcpu_init_signal(void)
{
    struct sigaction sa = {.sa_handler = vcpu_on_signal};
    return sigaction(VCPU_SIGNAL, &sa, NULL) < 0 ? -errno : 0;
}

int vcpu_init(struct vcpu *v, const struct kvm *k, unsigned int index, const struct vcpu_ops *ops,
              void *ctx, pthread_mutex_t *lock)
{
    *v = (struct vcpu){.index = index, .ops = ops, .ctx = ctx, .lock = lock, .parked = true};
    v->fd = ioctl(k->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (v->fd < 0)
        return -errno;
    v->run_size = k->run_size;
    void *p = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    v->run = p;
    return -pthread_cond_init(&v->wake, NULL);
}

static struct kvm_segment vcpu_segment(uint16_t selector, uint8_t type)
{
    bool code = (type & 8) != 0;
    return (struct kvm_segment){
        .limit = UINT32_MAX,
        .selector = selector,
        .type = type,
        .present = 1,
        .s = 1,
        .l = code,
        .db = !code,
        .g = 1,
    };
}

static int vcpu_boot_registers(const struct vcpu *v, const struct boot_entry *entry)
{
    struct kvm_sregs s;
    struct kvm_regs r = {.rip = entry->rip, .rsi = entry->rsi, .rflags = 2};
    if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
        return -errno;
    s.cs = vcpu_segment(0x10, 11);
    s.ds = s.es = s.ss = s.fs = s.gs = vcpu_segment(0x18, 3);
    s.gdt.base = entry->gdt;
    s.gdt.limit = entry->gdt_limit;
    s.cr0 = VCPU_CR0;
    s.cr3 = entry->cr3;
    s.cr4 = VCPU_CR4_PAE;
    s.efer = VCPU_EFER;
    if (ioctl(v->fd, KVM_SET_SREGS, &s) < 0 || ioctl(v->fd, KVM_SET_REGS, &r) < 0)
        return -errno;
    return 0;
}

int vcpu_boot(struct vcpu *v, struct kvm_cpuid2 *cpuid, const struct boot_entry *entry)
{
    struct kvm_xcrs xcrs = {.nr_xcrs = 1};
    if (ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0)
        return -errno;
    /* The kernel sets this register itself; where that instruction is not intercepted, the value
     * it starts from is the one that KVM keeps. */
    xcrs.xcrs[0].value = cpuid_xcr0(cpuid);
    if (xcrs.xcrs[0].value != 0 && ioctl(v->fd, KVM_SET_XCRS, &xcrs) < 0)
        return -errno;
    /* The others wait for INIT and SIPI, which the local APICs in the kernel deliver. */
    return v->index == 0 ? vcpu_boot_registers(v, entry) : 0;
}

static void vcpu_port_io(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    uint64_t end = run->io.data_offset + (uint64_t)run->io.size * run->io.count;
    if (end > v->run_size)
        return; /* only a broken kernel gets here */
    /* A string instruction: KVM hands over several accesses at once. */
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
        v->ops->pio(v->ctx, run->io.port, data, run->io.size, run->io.direction == KVM_EXIT_IO_OUT);
}

/* Answers an exit. False when the guest cannot continue. */
static bool vcpu_exit(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    switch (run->exit_reason) {
    case KVM_EXIT_MMIO:
        v->ops->mmio(v->ctx, run->mmio.phys_addr, run->mmio.data,
                     MIN(run->mmio.len, (uint32_t)sizeof(run->mmio.data)), run->mmio.is_write);
        return true;
    case KVM_EXIT_IO:
        vcpu_port_io(v);
        return true;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    /* A triple fault: how a guest with reboot=t restarts. */
    case KVM_EXIT_SHUTDOWN:
        v->ops->ended(v->ctx, VCPU_END_SHUTDOWN, 0);
        return false;
    default:
        v->ops->ended(v->ctx, VCPU_END_ERROR, run->exit_reason);
        return false;
    }
}

/* Runs until the vCPU is asked to park or cannot continue. */
static bool vcpu_run(struct vcpu *v)
{
    bool alive = true;
    while (alive && !__atomic_load_n(&v->run->immediate_exit, __ATOMIC_ACQUIRE)) {
        int rv = ioctl(v->fd, KVM_RUN, 0);
        /* Read by the loop without a lock: a figure for STATS, no more. */
        v->exits++;
        if (rv == 0) {
            alive = vcpu_exit(v);
        } else if (errno != EINTR && errno != EAGAIN) {
            v->ops->ended(v->ctx, VCPU_END_ERROR, (uint64_t)errno);
            alive = false;
        }
    }
    /* An I/O instruction whose result was just delivered is only complete after one more entry,
     * which for one in several parts is the next part's exit. */
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_RELEASE);
    while (ioctl(v->fd, KVM_RUN, 0) == 0 && alive)
        alive = vcpu_exit(v);
    return alive;
}

static void *vcpu_thread(void *arg)
{
    struct vcpu *v = arg;
    bool alive = true;
    char name[16];
    (void)snprintf(name, sizeof(name), "vcpu%u", v->index);
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
    if (v->ops->thread_start != NULL)
        v->ops->thread_start(v->ctx);
    (void)pthread_mutex_lock(v->lock);
    while (!v->quit) {
        if (!v->want_run || !alive) {
            v->parked = true;
            v->ops->parked(v->ctx);
            (void)pthread_cond_wait(&v->wake, v->lock);
            continue;
        }
        v->parked = false;
        /* Here and nowhere else, under the lock like the wish itself: a vCPU that is asked to park
         * and to run again before it noticed either must not find the old request. */
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELEASE);
        (void)pthread_mutex_unlock(v->lock);
        alive = vcpu_run(v);
        (void)pthread_mutex_lock(v->lock);
    }
    (void)pthread_mutex_unlock(v->lock);
    return NULL;
}

/* Documentation/virt/kvm/api.rst, 4.143; newer than the headers that this is built with. */
struct prefault {
    uint64_t gpa, size, flags, padding[5];
};

void vcpu_prefault(const struct vcpu *v, uint64_t gpa, uint64_t len)
{
    struct prefault range = {.gpa = gpa, .size = len};
    (void)ioctl(v->fd, VCPU_PREFAULT, &range);
}

int vcpu_start(struct vcpu *v)
{
    pthread_attr_t attr;
    int rv = pthread_attr_init(&attr);
    if (rv != 0)
        return -rv;
    (void)pthread_attr_setstacksize(&attr, VCPU_STACK);
    rv = pthread_create(&v->thread, &attr, vcpu_thread, v);
    (void)pthread_attr_destroy(&attr);
    v->has_thread = rv == 0;
    if (rv != 0)
        return -rv;
    return 0;
}

void vcpu_resume(struct vcpu *v)
{
    v->want_run = true;
    v->parked = false;
    (void)pthread_cond_signal(&v->wake);
}

void vcpu_kick(struct vcpu *v)
{
    v->want_run = false;
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_RELEASE);
    if (v->has_thread)
        (void)pthread_kill(v->thread, VCPU_SIGNAL);
}

void vcpu_done(struct vcpu *v)
{
    if (v->has_thread) {
        (void)pthread_mutex_lock(v->lock);
        v->quit = true;
        vcpu_kick(v);
        (void)pthread_cond_signal(&v->wake);
        (void)pthread_mutex_unlock(v->lock);
        (void)pthread_join(v->thread, NULL);
        (void)pthread_cond_destroy(&v->wake);
        v->has_thread = false;
    }
    if (v->run != NULL)
        (void)munmap(v->run, v->run_size);
    if (v->fd >= 0)
        (void)close(v->fd);
    v->run = NULL;
    v->fd = -1;
}
