/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.h - the tables that describe the machine: RSDP, XSDT, FADT (hardware-reduced), MADT and a
 * DSDT with the virtio devices, the serial port, the VM generation counter and S5.
 */
#ifndef CORRAL_VMM_ACPI_H
#define CORRAL_VMM_ACPI_H

#include "mem.h"

#define ACPI_SLEEP_S5 5u    /* SLP_TYP of power-off */
#define ACPI_SLEEP_EN 0x20u /* in the sleep control register */
#define ACPI_RESET    0x01u /* written to the reset register */

/* Writes all tables to LAYOUT_ACPI, where the RSDP comes first. 0 or a negative errno. */
int acpi_build(const struct mem *mem, unsigned int vcpus, unsigned int virtio_devices);

#endif
