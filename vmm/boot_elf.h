/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_elf.h - puts an uncompressed Linux kernel (vmlinux, an ELF file) into guest memory.
 */
#ifndef CORRAL_VMM_BOOT_ELF_H
#define CORRAL_VMM_BOOT_ELF_H

#include "base/error.h"
#include "mem.h"

#define BOOT_ELF_HEAD 64u /* bytes at the start of the file that tell what it is */

struct boot_elf {
    uint64_t entry; /* guest physical address of the first instruction, 64-bit */
    uint64_t end;   /* first byte behind the kernel and all that it reserves for itself */
};

bool boot_elf_is(const uint8_t head[BOOT_ELF_HEAD]);
/* Loads the file of `size` bytes into fresh, zeroed memory. -EINVAL for a file that is no such
 * kernel or is cut short, -EFBIG for one that does not fit, else an I/O error; `err` says which. */
int boot_elf_load(const struct mem *mem, int fd, uint64_t size, struct boot_elf *ret,
                  struct error *err);

#endif
