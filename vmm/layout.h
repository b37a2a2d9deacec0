/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h - where things are in the machine the guest sees. Part of the snapshot format: a change
 * here needs a new STATE_VERSION. */
#ifndef CORRAL_VMM_LAYOUT_H
#define CORRAL_VMM_LAYOUT_H

/* Low memory, used by the boot code until the kernel has its own. */
#define LAYOUT_GDT         0x500u
#define LAYOUT_BOOT_PARAMS 0x7000u
#define LAYOUT_PAGE_TABLES 0x9000u /* six pages */
#define LAYOUT_CMDLINE     0x20000u
#define LAYOUT_CMDLINE_MAX 2048u
#define LAYOUT_LOW_TOP     0x9fc00u

/* Reserved in the memory map. */
#define LAYOUT_ACPI     0xe0000u
#define LAYOUT_ACPI_MAX 0x10000u
#define LAYOUT_VMGENID  0xf0000u

#define LAYOUT_KERNEL 0x100000u

/* Devices. */
#define LAYOUT_VIRTIO      0xd0000000u /* one page each */
#define LAYOUT_VIRTIO_STEP 0x1000u
#define LAYOUT_VIRTIO_GSI  5u
#define LAYOUT_VIRTIO_MAX  4u /* block, vsock, rng, balloon */
#define LAYOUT_IOAPIC      0xfec00000u
#define LAYOUT_LAPIC       0xfee00000u
#define LAYOUT_KVM_TSS     0xfffbd000u /* three pages the hypervisor may use */

#define LAYOUT_SERIAL_PORT 0x3f8u
#define LAYOUT_SERIAL_GSI  4u
#define LAYOUT_I8042_PORT  0x60u
#define LAYOUT_POWER_PORT  0x600u /* +0 sleep control, +1 sleep status, +2 reset */
#define LAYOUT_GED_GSI     10u
#define LAYOUT_MAX_VCPUS   8u

#endif
