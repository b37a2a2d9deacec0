/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - puts a Linux kernel (bzImage by the 64-bit boot protocol, or vmlinux) and its initramfs
 * into fresh guest memory and describes the machine to it: memory map, command line, where the ACPI
 * tables are.
 */
#ifndef CORRAL_VMM_BOOT_H
#define CORRAL_VMM_BOOT_H

#include "base/error.h"
#include "mem.h"

struct boot_entry {
    uint64_t rip, rsi; /* first instruction; address of the boot parameters */
    uint64_t cr3, gdt;
    uint16_t gdt_limit;
};

/* `initrd_fd` may be -1. -EINVAL for a file that is no kernel of a protocol we speak, -EFBIG for
 * one, or an initramfs, that does not fit, else an I/O error; `err` says which. */
int boot_load(const struct mem *mem, int kernel_fd, int initrd_fd, const char *cmdline,
              struct boot_entry *ret, struct error *err);

#endif
