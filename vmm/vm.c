/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - assembles the machine. Cold: memory, KVM, devices, vCPUs, kernel. From a snapshot: state
 * file, memory mapping, KVM, devices, vCPUs, their state. Taken apart in the reverse order.
 */
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>

#include "acpi.h"
#include "boot.h"
#include "cpuid.h"
#include "filter.h"

#define VM_PAUSE_SECONDS 10

static void vm_kicked(struct loop_source *s, uint32_t events);
static void vm_woken(struct loop_source *s, uint32_t events);

static void vm_enter(void *ctx)
{
    struct vm *vm = ctx;
    (void)pthread_mutex_lock(&vm->lock);
}

static void vm_leave(void *ctx)
{
    struct vm *vm = ctx;
    (void)pthread_mutex_unlock(&vm->lock);
}

/* The end of a turn: queues with work left over, and the end of the VM. */
static bool vm_after(void *ctx)
{
    struct vm *vm = ctx;
    bool more = false;
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX && vm->state == CTL_STATE_RUNNING; i++) {
        if (vm->slot[i].dev->again == 0)
            continue;
        virtio_run_again(vm->slot[i].dev);
        more |= vm->slot[i].dev->again != 0;
    }
    if (vm->exit != CTL_EXIT_NONE && !vm->exit_told) {
        vm->exit_told = true;
        vm->state = CTL_STATE_EXITED;
        if (vm->exited != NULL)
            vm->exited(vm->exited_ctx);
    }
    return more;
}

static void vm_kicked(struct loop_source *s, uint32_t events)
{
    struct vm_slot *slot = container_of(s, struct vm_slot, kick);
    uint64_t count;
    (void)events;
    (void)!read(s->fd, &count, sizeof(count));
    /* While paused nothing may change in guest memory; resuming looks at every queue. */
    if (slot->vm->state == CTL_STATE_RUNNING)
        virtio_kick_all(slot->dev);
}

static void vm_woken(struct loop_source *s, uint32_t events)
{
    uint64_t count;
    (void)events;
    (void)!read(s->fd, &count, sizeof(count));
}

static void vm_raise(void *ctx)
{
    const struct vm_slot *slot = ctx;
    uint64_t one = 1;
    (void)!write(slot->irq_fd, &one, sizeof(one));
}

static void vm_raise_serial(void *ctx)
{
    const struct vm *vm = ctx;
    kvm_pulse(&vm->kvm, LAYOUT_SERIAL_GSI);
}

static uint64_t vm_disk_now(void *ctx)
{
    (void)ctx;
    return loop_now();
}

static void vm_disk_wake_after(void *ctx, uint64_t ns)
{
    struct vm *vm = ctx;
    loop_timer_set(&vm->loop, &vm->disk_timer, ns);
}

static void vm_disk_wake(struct loop_timer *t)
{
    struct vm *vm = container_of(t, struct vm, disk_timer);
    if (vm->state == CTL_STATE_RUNNING)
        virtio_blk_resume(&vm->blk);
}

/* Construction. */

static int vm_init_lock(struct vm *vm)
{
    pthread_condattr_t attr;
    int rv = pthread_mutex_init(&vm->lock, NULL);
    if (rv == 0)
        rv = pthread_condattr_init(&attr);
    if (rv != 0)
        return -rv;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rv = pthread_cond_init(&vm->rest, &attr);
    (void)pthread_condattr_destroy(&attr);
    return -rv;
}

static int vm_init_loop(struct vm *vm)
{
    int rv = loop_init(&vm->loop);
    if (rv < 0)
        return rv;
    vm->loop.enter = vm_enter;
    vm->loop.leave = vm_leave;
    vm->loop.after = vm_after;
    vm->loop.ctx = vm;
    loop_timer_init(&vm->disk_timer, vm_disk_wake);
    vm->wake = (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                    .ready = vm_woken};
    if (vm->wake.fd < 0)
        return -errno;
    return loop_add(&vm->loop, &vm->wake, EPOLLIN);
}

static int vm_init_slot(struct vm *vm, unsigned int i, struct virtio_dev *dev)
{
    struct vm_slot *s = &vm->slot[i];
    s->vm = vm;
    s->dev = dev;
    s->mmio.dev = dev;
    s->kick = (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                   .ready = vm_kicked};
    s->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->kick.fd < 0 || s->irq_fd < 0)
        return -errno;
    int rv = loop_add(&vm->loop, &s->kick, EPOLLIN);
    if (rv == 0)
        rv = kvm_irqfd(&vm->kvm, s->irq_fd, LAYOUT_VIRTIO_GSI + i);
    if (rv == 0)
        rv = kvm_ioeventfd(&vm->kvm, s->kick.fd, LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_STEP + 0x50);
    return rv;
}

static int vm_init_devices(struct vm *vm, const struct vm_config *config)
{
    struct virtio_dev *const devs[LAYOUT_VIRTIO_MAX] = {&vm->blk.dev, &vm->vsock.dev, &vm->rng.dev,
                                                        &vm->balloon.dev};
    struct irq_line irq[LAYOUT_VIRTIO_MAX];
    struct irq_line serial_irq = {vm_raise_serial, vm};
    struct virtio_blk_timer timer = {vm_disk_now, vm_disk_wake_after, vm};
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        irq[i] = (struct irq_line){vm_raise, &vm->slot[i]};
    serial_init(&vm->serial, &serial_irq, config->console_fd);
    virtio_blk_init(&vm->blk, vm->disk, &config->disk_limits, &timer, &vm->mem, &irq[0]);
    int rv = virtio_vsock_init(&vm->vsock, &vm->loop, config->vsock_fd, config->vsock_path,
                               &vm->mem, &irq[1]);
    virtio_rng_init(&vm->rng, &vm->mem, &irq[2]);
    virtio_balloon_init(&vm->balloon, &vm->mem, &irq[3]);
    for (unsigned int i = 0; rv == 0 && i < LAYOUT_VIRTIO_MAX; i++)
        rv = vm_init_slot(vm, i, devs[i]);
    return rv == 0 ? vm_map_devices(vm) : rv;
}

static int vm_init_vcpus(struct vm *vm, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        vm->vcpus++;
        int rv = vcpu_init(&vm->vcpu[i], &vm->kvm, i, &vm_vcpu_ops, vm, &vm->lock);
        if (rv < 0)
            return rv;
    }
    return 0;
}

static struct kvm_cpuid2 *vm_cpuid_for(const struct vm *vm, unsigned int vcpu)
{
    struct kvm_cpuid2 *t = cpuid_new();
    if (t == NULL)
        return NULL;
    t->nent = vm->cpuid->nent;
    memcpy(t->entries, vm->cpuid->entries, t->nent * sizeof(t->entries[0]));
    cpuid_policy(t, vcpu, vm->vcpus, vm->kvm.tsc_deadline);
    return t;
}

static int vm_boot(struct vm *vm, const struct vm_config *config, struct error *err)
{
    struct boot_entry entry;
    int rv = boot_load(&vm->mem, config->kernel_fd, config->initrd_fd, config->cmdline, &entry,
                       err);
    if (rv < 0)
        return rv;
    rv = acpi_build(&vm->mem, vm->vcpus, LAYOUT_VIRTIO_MAX);
    for (unsigned int i = 0; rv == 0 && i < vm->vcpus; i++) {
        cleanup_free struct kvm_cpuid2 *t = vm_cpuid_for(vm, i);
        rv = t != NULL ? vcpu_boot(&vm->vcpu[i], t, &entry) : -ENOMEM;
    }
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the vCPUs cannot be set up");
    return 0;
}

/* What cold and restored machines have in common, once there is memory. */
int vm_init_machine(struct vm *vm, const struct vm_config *config, unsigned int vcpus,
                    struct error *err)
{
    int rv = kvm_create(&vm->kvm, &vm->mem, err);
    if (rv < 0)
        return rv;
    rv = vm_init_vcpus(vm, vcpus);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the vCPUs cannot be made");
    rv = vm_init_devices(vm, config);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the devices cannot be made");
    return 0;
}

int vm_fingerprint(struct vm *vm, unsigned int vcpus, struct error *err)
{
    vm->cpuid = kvm_supported_cpuid(&vm->kvm);
    cleanup_free struct kvm_cpuid2 *t = cpuid_new();
    if (vm->cpuid == NULL || t == NULL)
        return error_set(err, ERROR_SANDBOX_FAILED, "KVM does not tell the CPU's features");
    t->nent = vm->cpuid->nent;
    memcpy(t->entries, vm->cpuid->entries, t->nent * sizeof(t->entries[0]));
    cpuid_policy(t, 0, vcpus, vm->kvm.tsc_deadline);
    vm->cpu = cpuid_fingerprint(t);
    return 0;
}

static int vm_init_cold(struct vm *vm, const struct vm_config *config, struct error *err)
{
    if (config->vcpus == 0 || config->vcpus > LAYOUT_MAX_VCPUS)
        return error_set(err, ERROR_INVALID_ARGUMENT, "a VM has 1 to %u vCPUs", LAYOUT_MAX_VCPUS);
    int rv = kvm_check(&vm->kvm, err);
    if (rv < 0)
        return rv;
    rv = mem_init_new(&vm->mem, config->memory);
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "memory cannot be had");
    rv = vm_fingerprint(vm, config->vcpus, err);
    if (rv == 0)
        rv = vm_init_machine(vm, config, config->vcpus, err);
    return rv == 0 ? vm_boot(vm, config, err) : rv;
}

static void vm_init_empty(struct vm *vm)
{
    void (*exited)(void *) = vm->exited;
    void *ctx = vm->exited_ctx;
    *vm = (struct vm){.mem.fd = -1, .kvm = {.fd = -1, .vm_fd = -1}, .wake.fd = -1, .loop.epfd = -1};
    vm->vsock.mux.listener.fd = -1;
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        vm->slot[i].kick.fd = vm->slot[i].irq_fd = -1;
    for (size_t i = 0; i < LAYOUT_MAX_VCPUS; i++)
        vm->vcpu[i].fd = -1;
    vm->exited = exited;
    vm->exited_ctx = ctx;
}

int vm_init(struct vm *vm, const struct vm_config *config, struct error *err)
{
    cleanup_close int kernel_fd = config->kernel_fd, initrd_fd = config->initrd_fd;
    cleanup_close int state_fd = config->state_fd, workset_fd = config->workset_fd;
    cleanup_close int workset_code_fd = config->workset_code_fd;
    (void)kernel_fd;
    (void)initrd_fd;
    (void)workset_fd;
    (void)workset_code_fd;
    vm_init_empty(vm);
    vm->disk = config->disk;
    vm->seccomp = config->seccomp;
    vm->pagemap_fd = config->pagemap_fd;
    int rv = vm_init_lock(vm);
    if (rv == 0)
        rv = vm_init_loop(vm);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the event loop cannot be made");
    rv = kvm_open(&vm->kvm, config->kvm_fd, err);
    if (rv == 0)
        rv = state_fd >= 0 ? vm_load(vm, config, err) : vm_init_cold(vm, config, err);
    if (rv == 0)
        rv = vcpu_init_signal();
    return rv;
}

int vm_start_threads(struct vm *vm, struct error *err)
{
    for (unsigned int i = 0; i < vm->vcpus; i++) {
        int rv = vcpu_start(&vm->vcpu[i]);
        if (rv < 0)
            return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "a vCPU thread cannot be made");
    }
    return 0;
}

void vm_done(struct vm *vm)
{
    for (unsigned int i = 0; i < vm->vcpus; i++)
        vcpu_done(&vm->vcpu[i]);
    if (vm->vsock.dev.ops != NULL)
        virtio_vsock_done(&vm->vsock);
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++) {
        base_close_p(&vm->slot[i].kick.fd);
        base_close_p(&vm->slot[i].irq_fd);
    }
    base_close_p(&vm->wake.fd);
    if (vm->loop.epfd >= 0)
        loop_done(&vm->loop);
    kvm_done(&vm->kvm);
    mem_done(&vm->mem);
    disk_close(vm->disk);
    workset_done(&vm->soon);
    workset_done(&vm->code);
    free(vm->cpuid);
}

/* Life. */

int vm_resume(struct vm *vm)
{
    if (vm->state == CTL_STATE_RUNNING)
        return -EALREADY;
    if (vm->state == CTL_STATE_EXITED || vm->exit != CTL_EXIT_NONE)
        return -EINVAL;
    if (vm->state == CTL_STATE_PAUSED && vm->clock != 0)
        (void)kvm_set_clock(&vm->kvm, vm->clock);
    vm->state = CTL_STATE_RUNNING;
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        virtio_kick_all(vm->slot[i].dev);
    for (unsigned int i = 0; i < vm->vcpus; i++)
        vcpu_resume(&vm->vcpu[i]);
    return 0;
}

static bool vm_at_rest(const struct vm *vm)
{
    for (unsigned int i = 0; i < vm->vcpus; i++) {
        if (!vm->vcpu[i].parked)
            return false;
    }
    return true;
}

int vm_pause(struct vm *vm)
{
    struct timespec until;
    if (vm->state == CTL_STATE_EXITED)
        return -EINVAL;
    for (unsigned int i = 0; i < vm->vcpus; i++)
        vcpu_kick(&vm->vcpu[i]);
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += VM_PAUSE_SECONDS;
    while (!vm_at_rest(vm)) {
        /* Gives the lock up: a vCPU may have to finish a device access first. */
        if (pthread_cond_timedwait(&vm->rest, &vm->lock, &until) == ETIMEDOUT)
            return -ETIMEDOUT;
    }
    if (vm->state == CTL_STATE_RUNNING) {
        vm->state = CTL_STATE_PAUSED;
        if (kvm_get_clock(&vm->kvm, &vm->clock) < 0)
            vm->clock = 0;
    }
    return 0;
}

void vm_end(struct vm *vm, enum ctl_exit exit, const char *text)
{
    uint64_t one = 1;
    if (vm->exit != CTL_EXIT_NONE)
        return;
    vm->exit = exit;
    (void)snprintf(vm->exit_text, sizeof(vm->exit_text), "%s", text);
    for (unsigned int i = 0; i < vm->vcpus; i++)
        vcpu_kick(&vm->vcpu[i]);
    (void)!write(vm->wake.fd, &one, sizeof(one));
}
