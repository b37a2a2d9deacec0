/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.c - loads a bzImage the way its own boot loader would (Documentation/arch/x86/boot.rst), or
 * the uncompressed kernel (boot_elf.h), which is entered in the same way.
 *
 * The 64-bit entry point skips the kernel's real-mode part: the vCPU starts in long mode with the
 * first 4 GiB mapped one to one, flat segments, and the address of boot_params in RSI. No byte of
 * real mode code runs, and no firmware is needed.
 *
 * The files are trusted no more than a guest: every length is checked against guest memory before
 * a byte is copied. A bzImage unpacks itself, so it needs room for both of its forms (init_size),
 * and an initramfs must stay clear of that room, or it is overwritten before it is read.
 */
#include "boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "boot_elf.h"
#include "disk.h"
#include "layout.h"

#define BOOT_MAGIC         0x53726448u /* "HdrS" */
#define BOOT_FLAG          0xaa55u
#define BOOT_MIN_PROTOCOL  0x020cu /* the first with a 64-bit entry point */
#define BOOT_SECTOR        512u
#define BOOT_ENTRY64       0x200u
#define BOOT_E820_RAM      1u
#define BOOT_E820_RESERVED 2u
#define BOOT_1M            0x100000ull

#define BOOT_ALIGNMENT 0x1000000u

struct boot_image {
    struct setup_header hdr;
    uint64_t entry; /* address of the first instruction */
    uint64_t end;   /* first byte behind everything that the kernel needs */
};

static int boot_file_size(int fd, uint64_t *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size <= 0)
        return -EINVAL;
    *ret = (uint64_t)st.st_size;
    return 0;
}

static int boot_read(int fd, void *dst, uint64_t off, uint64_t len)
{
    struct iovec iov = {dst, len};
    return disk_fd_read(fd, &iov, 1, off, len);
}

static int boot_unreadable(struct error *err, int rv)
{
    return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "the kernel image cannot be read");
}

static int boot_read_header(const uint8_t sector[2 * BOOT_SECTOR], struct setup_header *ret,
                            struct error *err)
{
    /* The header ends where the jump over it leads to. */
    size_t len = 0x202u + sector[0x201] - offsetof(struct boot_params, hdr);
    memcpy(ret, sector + offsetof(struct boot_params, hdr), MIN(len, sizeof(*ret)));
    if (ret->boot_flag != BOOT_FLAG || ret->header != BOOT_MAGIC)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the kernel image is not a bzImage");
    if (ret->version < BOOT_MIN_PROTOCOL || (ret->xloadflags & XLF_KERNEL_64) == 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the kernel has no 64-bit entry point");
    return 0;
}

/* The first byte behind what the kernel needs while it unpacks itself. */
static uint64_t boot_kernel_end(const struct setup_header *hdr, uint64_t payload_len)
{
    uint64_t loaded = LAYOUT_KERNEL + payload_len;
    uint64_t base = MAX(hdr->pref_address, (uint64_t)LAYOUT_KERNEL), unpacked;
    if (__builtin_add_overflow(base, hdr->init_size, &unpacked))
        return UINT64_MAX;
    return MAX(loaded, unpacked);
}

static int boot_load_bzimage(const struct mem *mem, int fd, uint64_t size,
                             const uint8_t sector[2 * BOOT_SECTOR], struct boot_image *img,
                             struct error *err)
{
    int rv = boot_read_header(sector, &img->hdr, err);
    if (rv < 0)
        return rv;
    uint64_t sects = img->hdr.setup_sects != 0 ? img->hdr.setup_sects : 4;
    uint64_t offset = (sects + 1) * BOOT_SECTOR;
    if (offset + BOOT_ENTRY64 >= size)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the kernel image is cut short");
    img->end = boot_kernel_end(&img->hdr, size - offset);
    void *dst = mem_at(mem, LAYOUT_KERNEL, img->end - LAYOUT_KERNEL);
    if (dst == NULL) {
        (void)error_set(err, ERROR_INVALID_ARGUMENT, "the kernel does not fit into memory");
        return -EFBIG;
    }
    img->entry = LAYOUT_KERNEL + BOOT_ENTRY64;
    rv = boot_read(fd, dst, offset, size - offset);
    return rv < 0 ? boot_unreadable(err, rv) : 0;
}

/* It brings no header: what one would say of any kernel that is entered like this. */
static int boot_load_elf(const struct mem *mem, int fd, uint64_t size, struct boot_image *img,
                         struct error *err)
{
    struct boot_elf elf;
    int rv = boot_elf_load(mem, fd, size, &elf, err);
    if (rv < 0)
        return rv;
    img->entry = elf.entry;
    img->end = elf.end;
    img->hdr = (struct setup_header){
        .boot_flag = BOOT_FLAG,
        .header = BOOT_MAGIC,
        .version = BOOT_MIN_PROTOCOL,
        .loadflags = LOADED_HIGH,
        .kernel_alignment = BOOT_ALIGNMENT,
        .initrd_addr_max = INT32_MAX,
        .cmdline_size = LAYOUT_CMDLINE_MAX - 1,
    };
    return 0;
}

static int boot_load_kernel(const struct mem *mem, int fd, struct boot_image *img,
                            struct error *err)
{
    uint8_t sector[2 * BOOT_SECTOR];
    uint64_t size = 0;
    int rv = boot_file_size(fd, &size);
    if (rv == 0 && size < sizeof(sector))
        rv = -EINVAL;
    if (rv == 0)
        rv = boot_read(fd, sector, 0, sizeof(sector));
    if (rv != 0)
        return boot_unreadable(err, rv);
    return boot_elf_is(sector) ? boot_load_elf(mem, fd, size, img, err)
                               : boot_load_bzimage(mem, fd, size, sector, img, err);
}

static int boot_load_initrd(const struct mem *mem, int fd, const struct boot_image *img,
                            struct boot_params *bp, struct error *err)
{
    uint64_t size = 0, top = MIN(mem->size, MEM_HOLE_START);
    int rv = boot_file_size(fd, &size);
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "the initramfs cannot be read");
    /* The initramfs goes as high as the kernel can reach, out of the way of its unpacking. */
    top = MIN(top, (uint64_t)img->hdr.initrd_addr_max + 1);
    uint64_t start = size < top ? (top - size) & ~(uint64_t)(MEM_PAGE - 1) : 0;
    void *dst = mem_at(mem, start, size);
    if (start < img->end || dst == NULL) {
        (void)error_set(err, ERROR_INVALID_ARGUMENT, "the initramfs does not fit into memory");
        return -EFBIG;
    }
    rv = boot_read(fd, dst, 0, size);
    if (rv < 0)
        return error_set_errno(err, ERROR_INVALID_ARGUMENT, rv, "the initramfs cannot be read");
    bp->hdr.ramdisk_image = (uint32_t)start;
    bp->hdr.ramdisk_size = (uint32_t)size;
    return 0;
}

/* Low memory ends where a PC has its extended BIOS data area; what follows up to 1 MiB is reserved,
 * and the ACPI tables and the generation id are in there, safe from the kernel. */
static void boot_e820(struct boot_params *bp, const struct mem *mem)
{
    struct mem_region r[2];
    size_t n = mem_regions(mem, r);
    struct boot_e820_entry *e = bp->e820_table;
    *e++ = (struct boot_e820_entry){0, LAYOUT_LOW_TOP, BOOT_E820_RAM};
    *e++ = (struct boot_e820_entry){LAYOUT_LOW_TOP, BOOT_1M - LAYOUT_LOW_TOP, BOOT_E820_RESERVED};
    *e++ = (struct boot_e820_entry){BOOT_1M, r[0].len - BOOT_1M, BOOT_E820_RAM};
    if (n == 2)
        *e++ = (struct boot_e820_entry){r[1].gpa, r[1].len, BOOT_E820_RAM};
    bp->e820_entries = (uint8_t)(e - bp->e820_table);
}

/* The first 4 GiB mapped one to one in 2 MiB pages, and flat segments. */
static void boot_tables(const struct mem *mem, struct boot_entry *ret)
{
    uint64_t *pml4 = mem_at(mem, LAYOUT_PAGE_TABLES, 6 * MEM_PAGE);
    uint64_t *pdpt = pml4 + 512, *pd = pml4 + 1024;
    static const uint64_t gdt[] = {
        0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, /* 0x10 code, 0x18 data */
    };
    memset(pml4, 0, 6 * MEM_PAGE);
    pml4[0] = (LAYOUT_PAGE_TABLES + MEM_PAGE) | 3;
    for (uint64_t i = 0; i < 4; i++)
        pdpt[i] = (LAYOUT_PAGE_TABLES + (2 + i) * MEM_PAGE) | 3;
    for (uint64_t i = 0; i < 2048; i++)
        pd[i] = i << 21 | 0x83;
    memcpy(mem_at(mem, LAYOUT_GDT, sizeof(gdt)), gdt, sizeof(gdt));
    ret->cr3 = LAYOUT_PAGE_TABLES;
    ret->gdt = LAYOUT_GDT;
    ret->gdt_limit = sizeof(gdt) - 1;
}

int boot_load(const struct mem *mem, int kernel_fd, int initrd_fd, const char *cmdline,
              struct boot_entry *ret, struct error *err)
{
    struct boot_image img = {0};
    struct boot_params *bp = mem_at(mem, LAYOUT_BOOT_PARAMS, sizeof(*bp));
    char *cmd = mem_at(mem, LAYOUT_CMDLINE, LAYOUT_CMDLINE_MAX);
    size_t cmd_len = strlen(cmdline);
    int rv = boot_load_kernel(mem, kernel_fd, &img, err);
    if (rv < 0)
        return rv;
    if (cmd_len >= MIN(LAYOUT_CMDLINE_MAX, img.hdr.cmdline_size))
        return error_set(err, ERROR_INVALID_ARGUMENT, "the kernel command line is too long");
    /* The protocol demands zeros in everything that the loader does not set. */
    memset(bp, 0, sizeof(*bp));
    bp->hdr = img.hdr;
    /* The value for a loader that has no number assigned. */
    bp->hdr.type_of_loader = 0xff;
    bp->hdr.cmd_line_ptr = LAYOUT_CMDLINE;
    bp->acpi_rsdp_addr = LAYOUT_ACPI;
    memcpy(cmd, cmdline, cmd_len + 1);
    boot_e820(bp, mem);
    if (initrd_fd >= 0)
        rv = boot_load_initrd(mem, initrd_fd, &img, bp, err);
    if (rv < 0)
        return rv;
    boot_tables(mem, ret);
    ret->rip = img.entry;
    ret->rsi = LAYOUT_BOOT_PARAMS;
    return 0;
}
