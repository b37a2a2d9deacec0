/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.c - the ACPI tables of the machine (ACPI 6.5: RSDP 5.2.5.3, FADT 5.2.9, MADT 5.2.12).
 *
 * The machine is "hardware-reduced": no PM timer, no SCI, no PIT, no legacy interrupt controller
 * to describe or emulate. A stock Linux finds every device here from these tables alone, without
 * PCI and without device addresses on its command line. Power-off, reset and the generation event
 * go through the sleep registers and the generic event device (GED).
 *
 * No tool compiles the DSDT: aml.c writes its bytes when the VM is built, because the number of
 * processors and devices is only known then.
 */
#include "acpi.h"

#include <errno.h>
#include <string.h>

#include "aml.h"
#include "layout.h"

#define ACPI_OEM "CORRAL"
/* WBINVD works, power and sleep buttons are not fixed hardware, the reset register is there,
 * hardware-reduced. */
#define ACPI_FADT_FLAGS  (1u << 0 | 1u << 4 | 1u << 5 | 1u << 10 | 1u << 20)
#define ACPI_FADT_NO_ISA (1u << 2 | 1u << 3 | 1u << 5) /* no VGA, no MSI, no CMOS clock */

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI table header layout");

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_rsdp) == 36, "RSDP layout");

struct acpi_register {
    uint8_t space, bits, offset, access;
    uint64_t address;
} __attribute__((packed));

struct acpi_fadt {
    struct acpi_header header;
    uint8_t legacy[73]; /* unused on hardware-reduced machines */
    uint16_t boot_arch;
    uint8_t reserved;
    uint32_t flags;
    struct acpi_register reset;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor_version;
    uint64_t firmware_control, dsdt;
    struct acpi_register legacy_x[8];
    struct acpi_register sleep_control, sleep_status;
    uint64_t hypervisor;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_fadt) == 276, "FADT layout");
_Static_assert(offsetof(struct acpi_fadt, boot_arch) == 109, "FADT layout");

/* All bytes of a table add up to zero. */
static uint8_t acpi_checksum(const void *table, size_t len)
{
    const uint8_t *p = table;
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)-sum;
}

static struct acpi_header acpi_header(const char *signature, uint8_t revision)
{
    struct acpi_header h = {
        .revision = revision,
        .oem_id = ACPI_OEM,
        .oem_table_id = ACPI_OEM,
        .oem_revision = 1,
        .creator_id = {'C', 'R', 'R', 'L'},
        .creator_revision = 1,
    };
    memcpy(h.signature, signature, sizeof(h.signature));
    return h;
}

/* Ends the table that begins at `start`: length and checksum. */
static void acpi_finish(struct buf *b, size_t start)
{
    struct acpi_header h;
    if (b->failed)
        return;
    memcpy(&h, b->data + start, sizeof(h));
    h.length = (uint32_t)(b->len - start);
    h.checksum = 0;
    memcpy(b->data + start, &h, sizeof(h));
    h.checksum = acpi_checksum(b->data + start, h.length);
    memcpy(b->data + start, &h, sizeof(h));
}

static void acpi_virtio_device(struct buf *b, unsigned int i)
{
    char name[5] = {'V', 'R', '0', (char)('0' + i), 0};
    cleanup_buf struct buf crs = {0};
    size_t dev = aml_device(b, name);
    /* The id that Linux knows for virtio-mmio; its driver binds by it, with no word on the command
     * line. */
    aml_name_string(b, "_HID", "LNRO0005");
    aml_name_integer(b, "_UID", i);
    /* Its DMA is cache-coherent. */
    aml_name_integer(b, "_CCA", 1);
    aml_crs_memory32(&crs, LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_STEP, LAYOUT_VIRTIO_STEP);
    /* Edge: a plain irqfd is enough. Level would need it to be resampled, and gains nothing. */
    aml_crs_edge_interrupt(&crs, LAYOUT_VIRTIO_GSI + i);
    aml_name_crs(b, &crs);
    aml_end(b, dev);
}

static void acpi_serial(struct buf *b)
{
    cleanup_buf struct buf crs = {0};
    size_t dev = aml_device(b, "COM1");
    aml_name_integer(b, "_HID", 0x0105d041); /* EISAID("PNP0501") */
    aml_name_integer(b, "_UID", 0);
    aml_crs_io(&crs, LAYOUT_SERIAL_PORT, 8);
    aml_crs_edge_interrupt(&crs, LAYOUT_SERIAL_GSI);
    aml_name_crs(b, &crs);
    aml_end(b, dev);
}

/* The VM generation id: the driver finds it by _CID; _HID only has to have the form of one. ADDR
 * is the low and the high half of the address of 16 bytes. */
static void acpi_vmgenid(struct buf *b)
{
    size_t dev = aml_device(b, "VGEN");
    aml_name_string(b, "_HID", "CRRL0001");
    aml_name_string(b, "_CID", "VM_Gen_Counter");
    aml_name_string(b, "_DDN", "VM_Gen_Counter");
    size_t addr = aml_name_package(b, "ADDR", 2);
    aml_integer(b, LAYOUT_VMGENID);
    aml_integer(b, 0);
    aml_end(b, addr);
    aml_end(b, dev);
}

/* The generic event device turns an interrupt into the "generation changed" notification. */
static void acpi_ged(struct buf *b)
{
    cleanup_buf struct buf crs = {0};
    size_t dev = aml_device(b, "GED_");
    aml_name_string(b, "_HID", "ACPI0013");
    aml_crs_edge_interrupt(&crs, LAYOUT_GED_GSI);
    aml_name_crs(b, &crs);
    size_t method = aml_method(b, "_EVT", 8 | 1);
    size_t branch = aml_if_arg0_is(b, LAYOUT_GED_GSI);
    /* A two-segment path from the root: \_SB_.VGEN */
    aml_notify(b, "\\._SB_VGEN", 0x80);
    aml_end(b, branch);
    aml_end(b, method);
    aml_end(b, dev);
}

static void acpi_dsdt(struct buf *b, unsigned int virtio_devices)
{
    struct acpi_header h = acpi_header("DSDT", 2);
    size_t start = b->len;
    (void)buf_append(b, &h, sizeof(h));
    size_t sb = aml_scope(b, "\\_SB_");
    for (unsigned int i = 0; i < virtio_devices; i++)
        acpi_virtio_device(b, i);
    acpi_serial(b);
    acpi_vmgenid(b);
    acpi_ged(b);
    aml_end(b, sb);
    /* What to write into the sleep control register for power-off. */
    size_t s5 = aml_name_package(b, "_S5_", 4);
    aml_integer(b, ACPI_SLEEP_S5);
    for (int i = 0; i < 3; i++)
        aml_integer(b, 0);
    aml_end(b, s5);
    acpi_finish(b, start);
}

static struct acpi_register acpi_port(uint16_t port)
{
    return (struct acpi_register){.space = 1, .bits = 8, .access = 1, .address = port};
}

static void acpi_fadt(struct buf *b, uint64_t dsdt)
{
    struct acpi_fadt t = {
        .header = acpi_header("FACP", 6),
        .boot_arch = ACPI_FADT_NO_ISA,
        .flags = ACPI_FADT_FLAGS,
        .reset = acpi_port(LAYOUT_POWER_PORT + 2),
        .reset_value = ACPI_RESET,
        .minor_version = 0,
        .dsdt = dsdt,
        .sleep_control = acpi_port(LAYOUT_POWER_PORT),
        .sleep_status = acpi_port(LAYOUT_POWER_PORT + 1),
    };
    size_t start = b->len;
    (void)buf_append(b, &t, sizeof(t));
    acpi_finish(b, start);
}

static void acpi_madt(struct buf *b, unsigned int vcpus)
{
    struct acpi_header h = acpi_header("APIC", 5);
    size_t start = b->len;
    (void)buf_append(b, &h, sizeof(h));
    (void)buf_u32(b, LAYOUT_LAPIC);
    (void)buf_u32(b, 0); /* no 8259 to mask */
    for (unsigned int i = 0; i < vcpus; i++) {
        (void)buf_u16(b, 8u << 8 | 0); /* local APIC, 8 bytes */
        (void)buf_u8(b, (uint8_t)i);
        (void)buf_u8(b, (uint8_t)i);
        (void)buf_u32(b, 1); /* enabled */
    }
    (void)buf_u16(b, 12u << 8 | 1); /* I/O APIC, 12 bytes */
    (void)buf_u16(b, 0);
    (void)buf_u32(b, LAYOUT_IOAPIC);
    /* GSI n is pin n, as KVM routes by default; no overrides are listed. */
    (void)buf_u32(b, 0); /* first GSI */
    acpi_finish(b, start);
}

static void acpi_align(struct buf *b)
{
    while (!b->failed && b->len % 16 != 0)
        (void)buf_u8(b, 0);
}

static void acpi_rsdp(struct buf *b, uint64_t xsdt)
{
    struct acpi_rsdp r = {.oem_id = ACPI_OEM, .revision = 2, .length = sizeof(r), .xsdt = xsdt};
    memcpy(r.signature, "RSD PTR ", sizeof(r.signature));
    r.checksum = acpi_checksum(&r, 20); /* the part of version 1 */
    r.extended_checksum = acpi_checksum(&r, sizeof(r));
    if (!b->failed)
        memcpy(b->data, &r, sizeof(r));
}

int acpi_build(const struct mem *mem, unsigned int vcpus, unsigned int virtio_devices)
{
    cleanup_buf struct buf b = {0};
    static const uint8_t room[sizeof(struct acpi_rsdp)] = {0};
    if (vcpus == 0 || vcpus > LAYOUT_MAX_VCPUS || virtio_devices > LAYOUT_VIRTIO_MAX)
        return -EINVAL;
    (void)buf_append(&b, room, sizeof(room));
    acpi_align(&b);
    uint64_t dsdt = LAYOUT_ACPI + b.len;
    acpi_dsdt(&b, virtio_devices);
    acpi_align(&b);
    uint64_t fadt = LAYOUT_ACPI + b.len;
    acpi_fadt(&b, dsdt);
    acpi_align(&b);
    uint64_t madt = LAYOUT_ACPI + b.len;
    acpi_madt(&b, vcpus);
    acpi_align(&b);
    uint64_t xsdt = LAYOUT_ACPI + b.len;
    struct acpi_header h = acpi_header("XSDT", 1);
    size_t start = b.len;
    (void)buf_append(&b, &h, sizeof(h));
    (void)buf_u64(&b, fadt);
    (void)buf_u64(&b, madt);
    acpi_finish(&b, start);
    acpi_rsdp(&b, xsdt);
    void *p = mem_at(mem, LAYOUT_ACPI, LAYOUT_ACPI_MAX);
    if (b.failed)
        return -ENOMEM;
    if (p == NULL || b.len > LAYOUT_ACPI_MAX)
        return -EFAULT;
    memcpy(p, b.data, b.len);
    return 0;
}
