/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_elf.c - loads the segments of a vmlinux where they want to be.
 *
 * A bzImage is this file, compressed, behind code that unpacks it. Unpacking in the guest costs a
 * tenth of a boot or more, and memory for both forms. What is lost is the random place that this
 * code gives the kernel; clones of one snapshot share its place either way.
 *
 * The entry point is that of the 64-bit boot protocol in both forms. The file is trusted no more
 * than a guest: segments stay above the low memory that describes the machine, and within RAM.
 */
#include "boot_elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "layout.h"

#define ELF_MAX_SEGMENTS 16u /* Linux has five */

_Static_assert(sizeof(Elf64_Ehdr) == BOOT_ELF_HEAD, "the header is all of the head");

bool boot_elf_is(const uint8_t head[BOOT_ELF_HEAD])
{
    return memcmp(head, ELFMAG, SELFMAG) == 0;
}

static int elf_unreadable(struct error *err, int rv)
{
    return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "the kernel image cannot be read");
}

static int elf_cut_short(struct error *err)
{
    return error_set(err, ERROR_INVALID_ARGUMENT, "the kernel image is cut short");
}

static int elf_read(int fd, void *dst, uint64_t off, uint64_t len)
{
    struct iovec iov = {dst, len};
    return disk_fd_read(fd, &iov, 1, off, len);
}

/* Holes are zeros, which the memory is already: what nobody writes stays with the host. */
static int elf_read_data(int fd, uint8_t *dst, uint64_t off, uint64_t len)
{
    uint64_t end = off + len;
    for (uint64_t at = off; at < end;) {
        off_t data = lseek(fd, (off_t)at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : -errno;
        off_t hole = lseek(fd, data, SEEK_HOLE);
        if (hole < data)
            return hole < 0 ? -errno : -EIO;
        uint64_t first = MIN((uint64_t)data, end), last = MIN((uint64_t)hole, end);
        int rv = last > first ? elf_read(fd, dst + (first - off), first, last - first) : 0;
        if (rv < 0)
            return rv;
        at = MAX(last, at + 1);
    }
    return 0;
}

static int elf_load_segment(const struct mem *mem, int fd, uint64_t size, const Elf64_Phdr *p,
                            struct error *err)
{
    if (p->p_filesz > p->p_memsz || p->p_offset > size || p->p_filesz > size - p->p_offset)
        return elf_cut_short(err);
    uint8_t *dst = p->p_paddr >= LAYOUT_KERNEL && p->p_paddr < MEM_HOLE_START
                       ? mem_at(mem, p->p_paddr, p->p_memsz)
                       : NULL;
    if (dst == NULL) {
        (void)error_set(err, ERROR_INVALID_ARGUMENT, "the kernel does not fit into memory");
        return -EFBIG;
    }
    int rv = elf_read_data(fd, dst, p->p_offset, p->p_filesz);
    return rv < 0 ? elf_unreadable(err, rv) : 0;
}

static int elf_check(const Elf64_Ehdr *h, uint64_t size, struct error *err)
{
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
        h->e_machine != EM_X86_64 || h->e_type != ET_EXEC || h->e_phentsize != sizeof(Elf64_Phdr) ||
        h->e_phnum == 0 || h->e_phnum > ELF_MAX_SEGMENTS)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the kernel image is no 64-bit Linux");
    uint64_t len = h->e_phnum * sizeof(Elf64_Phdr);
    return h->e_phoff > size || len > size - h->e_phoff ? elf_cut_short(err) : 0;
}

int boot_elf_load(const struct mem *mem, int fd, uint64_t size, struct boot_elf *ret,
                  struct error *err)
{
    Elf64_Ehdr h;
    Elf64_Phdr p[ELF_MAX_SEGMENTS];
    bool enters = false;
    int rv = size < sizeof(h) ? -EINVAL : elf_read(fd, &h, 0, sizeof(h));
    if (rv < 0)
        return elf_unreadable(err, rv);
    rv = elf_check(&h, size, err);
    if (rv < 0)
        return rv;
    rv = elf_read(fd, p, h.e_phoff, h.e_phnum * sizeof(p[0]));
    if (rv < 0)
        return elf_unreadable(err, rv);
    *ret = (struct boot_elf){.entry = h.e_entry};
    for (size_t i = 0; i < h.e_phnum; i++) {
        if (p[i].p_type != PT_LOAD || p[i].p_memsz == 0)
            continue;
        rv = elf_load_segment(mem, fd, size, &p[i], err);
        if (rv < 0)
            return rv;
        enters |= h.e_entry >= p[i].p_paddr && h.e_entry - p[i].p_paddr < p[i].p_memsz;
        ret->end = MAX(ret->end, p[i].p_paddr + p[i].p_memsz);
    }
    return enters ? 0 : error_set(err, ERROR_INVALID_ARGUMENT, "the kernel has no entry point");
}
