/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm.c - the calls to KVM that concern a whole VM (Documentation/virt/kvm/api.rst).
 *
 * The interrupt chip is the kernel's, local APICs included: interrupts and timers of a guest
 * never leave the kernel. This file's part of a snapshot is that chip and the guest's clock.
 */
#include "kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "cpuid.h"
#include "layout.h"
#include "state.h"

/* The youngest of these came with Linux 4.11. A host without one is told which. */
static const struct {
    int cap;
    const char *name;
} kvm_needed[] = {
    {KVM_CAP_IRQCHIP, "irqchip"},
    {KVM_CAP_USER_MEMORY, "user memory"},
    {KVM_CAP_IRQFD, "irqfd"},
    {KVM_CAP_IOEVENTFD, "ioeventfd"},
    {KVM_CAP_EXT_CPUID, "cpuid"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
    {KVM_CAP_XSAVE, "xsave"},
    {KVM_CAP_XCRS, "xcrs"},
    {KVM_CAP_DEBUGREGS, "debug registers"},
    {KVM_CAP_VCPU_EVENTS, "vCPU events"},
    {KVM_CAP_ADJUST_CLOCK, "clock"},
    {KVM_CAP_MP_STATE, "mp state"},
};

int kvm_open(struct kvm *k, int fd, struct error *err)
{
    *k = (struct kvm){.fd = fd, .vm_fd = -1};
    if (k->fd < 0)
        k->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (k->fd < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, -errno, "/dev/kvm cannot be opened");
    /* KVM_GET_SUPPORTED_CPUID does not list this feature; the capability does. */
    k->tsc_deadline = ioctl(k->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    int size = ioctl(k->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof(struct kvm_run))
        return error_set(err, ERROR_SANDBOX_FAILED, "KVM names no usable vCPU area");
    k->run_size = (size_t)size;
    return 0;
}

int kvm_check(const struct kvm *k, struct error *err)
{
    if (ioctl(k->fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return error_set(err, ERROR_SANDBOX_FAILED, "/dev/kvm speaks another API version");
    for (size_t i = 0; i < ARRAY_SIZE(kvm_needed); i++) {
        if (ioctl(k->fd, KVM_CHECK_EXTENSION, kvm_needed[i].cap) <= 0)
            return error_set(err, ERROR_SANDBOX_FAILED, "KVM of this host lacks %s",
                             kvm_needed[i].name);
    }
    return 0;
}

static int kvm_add_memory(const struct kvm *k, const struct mem *mem)
{
    struct mem_region r[2];
    size_t n = mem_regions(mem, r);
    for (size_t i = 0; i < n; i++) {
        struct kvm_userspace_memory_region slot = {
            .slot = (uint32_t)i,
            .guest_phys_addr = r[i].gpa,
            .memory_size = r[i].len,
            .userspace_addr = (uintptr_t)r[i].host,
        };
        if (ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
            return -errno;
    }
    return 0;
}

int kvm_create(struct kvm *k, const struct mem *mem, struct error *err)
{
    /* Making a VM may wait for other threads of the host, and gives up when a signal comes. */
    do {
        k->vm_fd = ioctl(k->fd, KVM_CREATE_VM, 0);
    } while (k->vm_fd < 0 && errno == EINTR);
    int rv = k->vm_fd < 0 ? -errno : 0;
    /* Intel processors need three pages for real mode; where is up to us, outside of RAM. */
    if (rv == 0 && ioctl(k->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_KVM_TSS) < 0)
        rv = -errno;
    if (rv == 0 && ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
        rv = -errno;
    if (rv == 0)
        rv = kvm_add_memory(k, mem);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the VM cannot be made");
    return 0;
}

void kvm_done(struct kvm *k)
{
    if (k->vm_fd >= 0)
        (void)close(k->vm_fd);
    if (k->fd >= 0)
        (void)close(k->fd);
    k->fd = k->vm_fd = -1;
}

int kvm_irqfd(const struct kvm *k, int fd, uint32_t gsi)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};
    return ioctl(k->vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

int kvm_ioeventfd(const struct kvm *k, int fd, uint64_t addr)
{
    struct kvm_ioeventfd io = {.addr = addr, .len = 4, .fd = fd};
    return ioctl(k->vm_fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

/* An edge: the line goes up and down. The chip remembers the rise. */
void kvm_pulse(const struct kvm *k, uint32_t gsi)
{
    struct kvm_irq_level level = {.irq = gsi, .level = 1};
    (void)ioctl(k->vm_fd, KVM_IRQ_LINE, &level);
    level.level = 0;
    (void)ioctl(k->vm_fd, KVM_IRQ_LINE, &level);
}

struct kvm_cpuid2 *kvm_supported_cpuid(const struct kvm *k)
{
    struct kvm_cpuid2 *t = cpuid_new();
    if (t == NULL || ioctl(k->fd, KVM_GET_SUPPORTED_CPUID, t) < 0) {
        free(t);
        return NULL;
    }
    return t;
}

int kvm_get_clock(const struct kvm *k, uint64_t *ret)
{
    struct kvm_clock_data clock = {0};
    if (ioctl(k->vm_fd, KVM_GET_CLOCK, &clock) < 0)
        return -errno;
    *ret = clock.clock;
    return 0;
}

/* Without flags: with KVM_CLOCK_REALTIME the guest's monotonic clock would jump, too. The agent
 * sets the date. */
int kvm_set_clock(const struct kvm *k, uint64_t ns)
{
    struct kvm_clock_data clock = {.clock = ns};
    return ioctl(k->vm_fd, KVM_SET_CLOCK, &clock) < 0 ? -errno : 0;
}

int kvm_save(const struct kvm *k, struct buf *out)
{
    uint64_t clock = 0;
    /* Both 8259s and the I/O APIC. Only the last matters to this machine; without its redirection
     * table a restored guest gets no device interrupt. */
    for (uint32_t i = 0; i < KVM_NR_IRQCHIPS; i++) {
        struct kvm_irqchip chip = {.chip_id = i};
        if (ioctl(k->vm_fd, KVM_GET_IRQCHIP, &chip) < 0)
            return -errno;
        state_put_blob(out, &chip, sizeof(chip));
    }
    int rv = kvm_get_clock(k, &clock);
    (void)buf_u64(out, clock);
    return rv;
}

int kvm_load(const struct kvm *k, struct cursor *c)
{
    for (uint32_t i = 0; i < KVM_NR_IRQCHIPS; i++) {
        struct kvm_irqchip chip;
        if (state_get_blob(c, &chip, sizeof(chip)) < 0 || chip.chip_id != i)
            return -EINVAL;
        if (ioctl(k->vm_fd, KVM_SET_IRQCHIP, &chip) < 0)
            return -errno;
    }
    /* Without the clock every sleep of the guest would last until kvmclock, back at zero, has
     * caught up with its age. */
    uint64_t clock = cursor_u64(c);
    return cursor_end(c) ? kvm_set_clock(k, clock) : -EINVAL;
}
