/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.c - assembles the machine; the one file that makes every device.
 *
 *   cold      KVM's abilities are checked, fresh memory, CPU features, machine, kernel and tables
 *   restored  state file, memory mapped from the snapshot and its base, CPU features, machine,
 * saved state
 *
 * "Machine" is the same for both: the VM in the kernel, vCPUs, devices in their slots. The order is
 * that of KVM: memory slots need a VM, vCPUs need the interrupt chip, irqfds need both, and state
 * is loaded into vCPUs that exist.
 *
 * All of this runs on one thread, before there are others and before the guest has run. Nothing is
 * undone on failure: the process ends with the reason, and the kernel frees everything.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include "acpi.h"
#include "boot.h"
#include "cpuid.h"
#include "disk_cow.h"
#include "snapshot.h"

/* What devices are given to reach the machine. */

static void build_raise(void *ctx)
{
    const struct vm_slot *slot = ctx;
    slot->vm->irq_due |= 1u << (slot - slot->vm->slot);
}

static void build_raise_serial(void *ctx)
{
    const struct vm *vm = ctx;
    kvm_pulse(&vm->kvm, LAYOUT_SERIAL_GSI);
}

static uint64_t build_disk_now(void *ctx)
{
    (void)ctx;
    return loop_now();
}

static void build_disk_wake_after(void *ctx, uint64_t ns)
{
    struct vm *vm = ctx;
    loop_timer_set(&vm->loop, &vm->disk_timer, ns);
}

static void build_disk_wake(struct loop_timer *t)
{
    struct vm *vm = container_of(t, struct vm, disk_timer);
    if (vm->state == CTL_STATE_RUNNING)
        virtio_blk_resume(&vm->blk);
}

/* The machine. */

static const char *build_disk_fault(int rv)
{
    switch (rv) {
    case -EBUSY:
        return "the overlay is used by another VM";
    case -ESTALE:
        return "the overlay belongs to another disk image";
    case -EBADMSG:
        return "the overlay is damaged";
    case -EPROTO:
        return "the overlay has another version";
    default:
        return "the disk cannot be used";
    }
}

static int build_disk(struct vm *vm, const struct vm_config *config, struct error *err)
{
    int base = config->disk_fd, over = config->overlay_fd;
    int rv = over < 0               ? disk_raw_open(base, &vm->disk)
             : config->overlay_made ? disk_cow_open_made(base, over, &vm->disk)
                                    : disk_cow_open(base, over, &vm->disk);
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "%s", build_disk_fault(rv));
    rv = vm_init_disk(vm);
    return rv < 0 ? error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the disk's worker") : 0;
}

static int build_devices(struct vm *vm, const struct vm_config *config)
{
    struct virtio_dev *const devs[LAYOUT_VIRTIO_MAX] = {&vm->blk.dev, &vm->vsock.dev, &vm->rng.dev,
                                                        &vm->balloon.dev};
    struct irq_line irq[LAYOUT_VIRTIO_MAX];
    struct irq_line serial_irq = {build_raise_serial, vm};
    struct virtio_blk_timer timer = {build_disk_now, build_disk_wake_after, vm};
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        irq[i] = (struct irq_line){build_raise, &vm->slot[i]};
    loop_timer_init(&vm->disk_timer, build_disk_wake);
    serial_init(&vm->serial, &serial_irq, config->console_fd);
    virtio_blk_init(&vm->blk, &vm->disk_worker, &config->disk_limits, &timer, &vm->mem, &irq[0]);
    int rv = virtio_vsock_init(&vm->vsock, &vm->loop, config->vsock_fd, config->vsock_path,
                               &vm->mem, &irq[1]);
    virtio_rng_init(&vm->rng, &vm->mem, &irq[2]);
    virtio_balloon_init(&vm->balloon, &vm->mem, &irq[3]);
    for (unsigned int i = 0; rv == 0 && i < LAYOUT_VIRTIO_MAX; i++)
        rv = vm_attach(vm, i, devs[i]);
    return rv == 0 ? vm_map_devices(vm) : rv;
}

static int build_vcpus(struct vm *vm)
{
    for (unsigned int i = 0; i < vm->vcpus; i++) {
        int rv = vcpu_init(&vm->vcpu[i], &vm->kvm, i, &vm_vcpu_ops, vm, &vm->lock);
        if (rv < 0)
            return rv;
    }
    return 0;
}

/* What cold and restored machines have in common, once there is memory. */
static int build_machine(struct vm *vm, const struct vm_config *config, struct error *err)
{
    int rv = kvm_create(&vm->kvm, &vm->mem, err);
    if (rv < 0)
        return rv;
    rv = build_vcpus(vm);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the vCPUs cannot be made");
    rv = build_devices(vm, config);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the devices cannot be made");
    return 0;
}

static int build_fingerprint(struct vm *vm, unsigned int vcpus, struct error *err)
{
    vm->cpuid = kvm_supported_cpuid(&vm->kvm);
    vm->vcpus = vcpus;
    cleanup_free struct kvm_cpuid2 *t = vm->cpuid != NULL ? vm_cpuid(vm, 0) : NULL;
    if (t == NULL)
        return error_set(err, ERROR_SANDBOX_FAILED, "KVM does not report the CPU's features");
    vm->cpu = cpuid_fingerprint(t);
    return 0;
}

/* Cold. */

static int build_boot(struct vm *vm, const struct vm_config *config, struct error *err)
{
    struct boot_entry entry;
    int rv = boot_load(&vm->mem, config->kernel_fd, config->initrd_fd, config->cmdline, &entry,
                       err);
    if (rv < 0)
        return rv;
    rv = acpi_build(&vm->mem, vm->vcpus, LAYOUT_VIRTIO_MAX);
    for (unsigned int i = 0; rv == 0 && i < vm->vcpus; i++) {
        cleanup_free struct kvm_cpuid2 *t = vm_cpuid(vm, i);
        rv = t != NULL ? vcpu_boot(&vm->vcpu[i], t, &entry) : -ENOMEM;
    }
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the vCPUs cannot be set up");
    return 0;
}

static int build_cold(struct vm *vm, const struct vm_config *config, struct error *err)
{
    if (config->vcpus == 0 || config->vcpus > LAYOUT_MAX_VCPUS)
        return error_set(err, ERROR_INVALID_ARGUMENT, "a VM has 1 to %u vCPUs", LAYOUT_MAX_VCPUS);
    int rv = kvm_check(&vm->kvm, err);
    if (rv < 0)
        return rv;
    rv = mem_init_new(&vm->mem, config->memory);
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "memory cannot be had");
    rv = build_fingerprint(vm, config->vcpus, err);
    if (rv == 0)
        rv = build_machine(vm, config, err);
    return rv == 0 ? build_boot(vm, config, err) : rv;
}

/* Restored. */

/* Working sets are advice: a file that cannot be read counts as absent. */
static void build_worksets(struct vm *vm, const struct vm_config *config)
{
    if (config->workset_fd >= 0 && workset_open(&vm->soon, &vm->mem, config->workset_fd) == 0)
        workset_read_ahead(&vm->soon, &vm->mem);
    if (config->workset_code_fd >= 0 &&
        workset_open(&vm->code, &vm->mem, config->workset_code_fd) == 0)
        workset_read_ahead(&vm->code, &vm->mem);
}

static int build_restored(struct vm *vm, const struct vm_config *config, struct error *err)
{
    const struct snapshot_files files = {config->state_fd, config->memory_fd, config->base_fd,
                                         config->handed};
    cleanup_snapshot struct snapshot s = {0};
    int rv = snapshot_open(&s, &files, vm->disk, err);
    if (rv == 0)
        rv = build_fingerprint(vm, s.meta.vcpus, err);
    if (rv != 0)
        return rv;
    /* Programs in the guest have chosen code for these features, and would meet others. */
    if (vm->cpu != s.meta.cpu)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the snapshot was taken on another CPU");
    cleanup_close int rest = s.meta.difference ? config->memory_fd : config->base_fd;
    rv = snapshot_map(&s, vm, &files, err);
    if (rv < 0)
        return rv;
    (void)rest;
    /* The disk reads while the machine is made. */
    build_worksets(vm, config);
    rv = build_machine(vm, config, err);
    if (rv == 0)
        rv = snapshot_load(&s, vm, err);
    if (rv == 0)
        vm_prefetch(vm, &vm->soon);
    reshare_init(vm, config->share_after_s);
    return rv;
}

int build_vm(struct vm *vm, const struct vm_config *config, void (*exited)(struct vm *vm),
             struct error *err)
{
    cleanup_close int kernel_fd = config->kernel_fd, initrd_fd = config->initrd_fd;
    cleanup_close int state_fd = config->state_fd, workset_fd = config->workset_fd;
    cleanup_close int workset_code_fd = config->workset_code_fd;
    (void)kernel_fd;
    (void)initrd_fd;
    (void)workset_fd;
    (void)workset_code_fd;
    int rv = vm_init(vm);
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the event loop cannot be made");
    vm->exited = exited;
    vm->seccomp = config->seccomp;
    vm->pagemap_fd = config->pagemap_fd;
    vm->record = config->record;
    rv = kvm_open(&vm->kvm, config->kvm_fd, err);
    if (rv == 0)
        rv = build_disk(vm, config, err);
    if (rv == 0)
        rv = state_fd >= 0 ? build_restored(vm, config, err) : build_cold(vm, config, err);
    if (rv == 0)
        rv = vcpu_init_signal();
    return rv;
}
