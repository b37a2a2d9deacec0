/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_io.c - the two buses of the machine, and what vCPU threads do when the guest leaves KVM_RUN.
 *
 * Everything here runs on a vCPU's thread, under its filter: an access takes the VM's lock, reaches
 * one device, and returns. What needs other system calls is left to the loop, which `wake` calls.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "acpi.h"
#include "filter.h"
#include "vm.h"

#define I8042_STATUS 4u    /* offset from LAYOUT_I8042_PORT */
#define I8042_RESET  0xfeu /* command: pulse the reset line */

static void vm_virtio_read(void *ctx, uint64_t offset, void *data, uint32_t len)
{
    struct vm_slot *s = ctx;
    virtio_mmio_read(&s->mmio, offset, data, len);
}

static void vm_virtio_write(void *ctx, uint64_t offset, const void *data, uint32_t len)
{
    struct vm_slot *s = ctx;
    uint64_t one = 1;
    virtio_mmio_write(&s->mmio, offset, data, len);
    if (s->dev->again != 0)
        (void)!write(s->vm->wake.fd, &one, sizeof(one)); /* the loop has work it does not know of */
}

static void vm_serial_read(void *ctx, uint64_t offset, void *data, uint32_t len)
{
    serial_read(ctx, offset, data, len);
}

static void vm_serial_write(void *ctx, uint64_t offset, const void *data, uint32_t len)
{
    serial_write(ctx, offset, data, len);
}

/* The keyboard controller is asked for one thing only: a reset, and whether it is ready for it. */
static void vm_i8042_read(void *ctx, uint64_t offset, void *data, uint32_t len)
{
    (void)ctx;
    (void)offset;
    memset(data, 0, len);
}

static void vm_reset_by_guest(struct vm *vm)
{
    if (vm->serial.panic[0] != '\0')
        vm_end(vm, CTL_EXIT_PANIC, vm->serial.panic);
    else
        vm_end(vm, CTL_EXIT_RESET, "the guest rebooted");
}

static void vm_i8042_write(void *ctx, uint64_t offset, const void *data, uint32_t len)
{
    if (offset == I8042_STATUS && len == 1 && *(const uint8_t *)data == I8042_RESET)
        vm_reset_by_guest(ctx);
}

static void vm_power_read(void *ctx, uint64_t offset, void *data, uint32_t len)
{
    vm_i8042_read(ctx, offset, data, len);
}

static void vm_power_write(void *ctx, uint64_t offset, const void *data, uint32_t len)
{
    uint8_t v = len == 1 ? *(const uint8_t *)data : 0;
    if (offset == 0 && v == (ACPI_SLEEP_EN | ACPI_SLEEP_S5 << 2))
        vm_end(ctx, CTL_EXIT_POWEROFF, "the guest powered off");
    /* A guest that boots without reboot=t resets here. */
    else if (offset == 2 && v == ACPI_RESET)
        vm_reset_by_guest(ctx);
}

int vm_map_devices(struct vm *vm)
{
    const struct bus_range ports[] = {
        {LAYOUT_SERIAL_PORT, SERIAL_PORTS, vm_serial_read, vm_serial_write, &vm->serial},
        {LAYOUT_I8042_PORT, I8042_STATUS + 1, vm_i8042_read, vm_i8042_write, vm},
        {LAYOUT_POWER_PORT, 3, vm_power_read, vm_power_write, vm},
    };
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < ARRAY_SIZE(ports); i++)
        rv = bus_add(&vm->pio, &ports[i]);
    for (size_t i = 0; rv == 0 && i < LAYOUT_VIRTIO_MAX; i++) {
        struct bus_range r = {LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_STEP, VIRTIO_MMIO_SIZE,
                              vm_virtio_read, vm_virtio_write, &vm->slot[i]};
        rv = bus_add(&vm->mmio, &r);
    }
    return rv;
}

static void vm_access(struct vm *vm, const struct bus *bus, uint64_t addr, void *data, uint32_t len,
                      bool write)
{
    vm_lock(vm);
    if (write)
        bus_write(bus, addr, data, len);
    else
        bus_read(bus, addr, data, len);
    vm_unlock(vm);
}

/* The addresses are the guest's: outside of every range it reads all ones, as on a PC. */
static void vm_on_mmio(void *ctx, uint64_t addr, void *data, uint32_t len, bool write)
{
    struct vm *vm = ctx;
    vm_access(vm, &vm->mmio, addr, data, len, write);
}

static void vm_on_pio(void *ctx, uint16_t port, void *data, uint32_t len, bool write)
{
    struct vm *vm = ctx;
    vm_access(vm, &vm->pio, port, data, len, write);
}

static void vm_on_ended(void *ctx, enum vcpu_end end, uint64_t detail)
{
    struct vm *vm = ctx;
    char text[64];
    vm_lock(vm);
    /* A reboot and a kernel that dies look alike from here; the panic line on the serial port tells
     * them apart. */
    if (end == VCPU_END_SHUTDOWN) {
        vm_reset_by_guest(vm);
    } else {
        (void)snprintf(text, sizeof(text), "KVM cannot run the guest (exit %llu)",
                       (unsigned long long)detail);
        vm_end(vm, CTL_EXIT_ERROR, text);
    }
    vm_unlock(vm);
}

static void vm_on_parked(void *ctx)
{
    struct vm *vm = ctx;
    (void)pthread_cond_broadcast(&vm->rest);
}

static void vm_on_thread_start(void *ctx)
{
    const struct vm *vm = ctx;
    if (vm->seccomp && filter_install(FILTER_VCPU) < 0)
        abort(); /* never a guest instruction without the filter */
}

const struct vcpu_ops vm_vcpu_ops = {
    .mmio = vm_on_mmio,
    .pio = vm_on_pio,
    .ended = vm_on_ended,
    .parked = vm_on_parked,
    .thread_start = vm_on_thread_start,
};
