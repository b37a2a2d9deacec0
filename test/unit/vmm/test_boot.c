/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel finds in memory before its first instruction: itself, its parameters, ACPI. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <sys/mman.h>

#include "acpi.h"
#include "boot.h"
#include "layout.h"
#include "t.h"

#define MEM_SIZE (128ull << 20)

static struct mem mem;

static int kernel_file(const struct setup_header *h, size_t payload)
{
    uint8_t sector[1024] = {0};
    int fd = memfd_create("kernel", MFD_CLOEXEC);
    memcpy(sector + 0x1f1, h, sizeof(*h));
    sector[0x201] = (uint8_t)(sizeof(*h) + 0x1f1 - 0x202);
    T_EQ(write(fd, sector, sizeof(sector)), sizeof(sector));
    uint8_t mark = 0x90;
    for (size_t i = 0; i < payload; i += 512)
        T_EQ(pwrite(fd, &mark, 1, (off_t)(1024 + i)), 1);
    T_EQ(ftruncate(fd, (off_t)(1024 + payload)), 0);
    return fd;
}

static struct setup_header good_header(void)
{
    return (struct setup_header){
        .setup_sects = 1,
        .boot_flag = 0xaa55,
        .header = 0x53726448,
        .version = 0x20f,
        .xloadflags = XLF_KERNEL_64,
        .initrd_addr_max = 0x7fffffff,
        .cmdline_size = 2047,
        .pref_address = 0x1000000,
        .init_size = 32 << 20,
    };
}

static int file_of(size_t size)
{
    int fd = memfd_create("initrd", MFD_CLOEXEC);
    T_EQ(ftruncate(fd, (off_t)size), 0);
    T_TRUE(size == 0 || pwrite(fd, "I", 1, 0) == 1);
    return fd;
}

static void setup(void)
{
    if (mem.base == NULL)
        T_EQ(mem_init_new(&mem, MEM_SIZE), 0);
}

static void loads_kernel_and_initramfs(void)
{
    struct boot_entry e;
    struct setup_header h = good_header();
    setup();
    T_EQ(boot_load(&mem, kernel_file(&h, 65536), file_of(100000), "quiet x=1", &e, NULL), 0);
    struct boot_params *bp = mem_at(&mem, e.rsi, sizeof(*bp));
    T_EQ(e.rip, 0x100200);
    T_EQ(mem.base[0x100000], 0x90);
    T_EQ(bp->hdr.type_of_loader, 0xff);
    T_STR((char *)mem.base + bp->hdr.cmd_line_ptr, "quiet x=1");
    T_EQ(bp->hdr.ramdisk_size, 100000);
    T_EQ(mem.base[bp->hdr.ramdisk_image], 'I');
    T_EQ(bp->hdr.ramdisk_image % 4096, 0);
    T_EQ(bp->acpi_rsdp_addr, LAYOUT_ACPI);
    T_EQ(bp->e820_entries, 3);
    T_EQ(bp->e820_table[2].addr + bp->e820_table[2].size, MEM_SIZE);
    uint64_t *pml4 = mem_at(&mem, e.cr3, 4096);
    uint64_t *pdpt = mem_at(&mem, pml4[0] & ~0xfffull, 4096);
    uint64_t *pd = mem_at(&mem, pdpt[3] & ~0xfffull, 4096);
    T_EQ(pd[511], 0xffe00083ll);
}

/* A vmlinux with a segment of code at 16 MiB and one that is mostly a hole behind it. */
struct elf_file {
    Elf64_Ehdr h;
    Elf64_Phdr p[3];
};

static struct elf_file good_elf(void)
{
    return (struct elf_file){
        .h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
              .e_type = ET_EXEC,
              .e_machine = EM_X86_64,
              .e_entry = 0x1000100,
              .e_phoff = offsetof(struct elf_file, p),
              .e_phentsize = sizeof(Elf64_Phdr),
              .e_phnum = 3},
        .p = {{.p_type = PT_LOAD,
               .p_offset = 4096,
               .p_paddr = 0x1000000,
               .p_filesz = 8192,
               .p_memsz = 8192},
              {.p_type = PT_LOAD,
               .p_offset = 1 << 20,
               .p_paddr = 0x1200000,
               .p_filesz = 1 << 20,
               .p_memsz = 4 << 20},
              {.p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_filesz = UINT64_MAX}},
    };
}

static int elf_of(const struct elf_file *e)
{
    static const uint8_t code[8192] = {[0] = 0x90, [8191] = 0xf4};
    int fd = memfd_create("vmlinux", MFD_CLOEXEC);
    T_EQ(pwrite(fd, e, sizeof(*e), 0), sizeof(*e));
    T_EQ(pwrite(fd, code, sizeof(code), 4096), sizeof(code));
    T_EQ(pwrite(fd, "D", 1, (2 << 20) - 1), 1);
    return fd;
}

static void loads_an_uncompressed_kernel(void)
{
    struct boot_entry e;
    struct elf_file elf = good_elf();
    mem_done(&mem);
    setup();
    T_EQ(boot_load(&mem, elf_of(&elf), file_of(100000), "quiet", &e, NULL), 0);
    T_EQ(e.rip, 0x1000100);
    T_EQ(mem.base[0x1000000], 0x90);
    T_EQ(mem.base[0x1001fff], 0xf4);
    T_EQ(mem.base[0x1002000], 0);
    T_EQ(mem.base[0x12fffff], 'D');
    struct boot_params *bp = mem_at(&mem, e.rsi, sizeof(*bp));
    T_EQ(bp->hdr.boot_flag, 0xaa55);
    T_EQ(bp->hdr.type_of_loader, 0xff);
    T_STR((char *)mem.base + bp->hdr.cmd_line_ptr, "quiet");
    T_EQ(mem.base[bp->hdr.ramdisk_image], 'I');
    T_TRUE(bp->hdr.ramdisk_image >= 0x1600000);
    T_EQ(bp->e820_entries, 3);
}

static void expect_elf(const struct elf_file *elf, int initrd, int rv, const char *message)
{
    struct boot_entry e;
    struct error err = {0};
    T_EQ(boot_load(&mem, elf_of(elf), initrd, "", &e, &err), rv);
    T_STR(err.message, message);
}

static void refuses_a_crooked_elf(void)
{
    static const char *const none = "the kernel image is no 64-bit Linux";
    static const char *const cut = "the kernel image is cut short";
    static const char *const large = "the kernel does not fit into memory";
    struct elf_file elf = good_elf();
    setup();
#define REFUSED(change, rv, message)                                                               \
    elf = good_elf(), (change), expect_elf(&elf, -1, (rv), (message))
    REFUSED(elf.h.e_ident[EI_CLASS] = ELFCLASS32, -EINVAL, none);
    REFUSED(elf.h.e_machine = EM_386, -EINVAL, none);
    REFUSED(elf.h.e_type = ET_DYN, -EINVAL, none);
    REFUSED(elf.h.e_phentsize = 32, -EINVAL, none);
    REFUSED(elf.h.e_phnum = 17, -EINVAL, none);
    REFUSED(elf.h.e_phnum = 0, -EINVAL, none);
    REFUSED(elf.h.e_phoff = UINT64_MAX - 8, -EINVAL, cut);
    REFUSED(elf.h.e_phoff = (2 << 20) - 8, -EINVAL, cut);
    REFUSED(elf.p[0].p_offset = UINT64_MAX - 100, -EINVAL, cut);
    REFUSED(elf.p[1].p_filesz = (1 << 20) + 1, -EINVAL, cut);
    REFUSED(elf.p[0].p_memsz = 4096, -EINVAL, cut);
    REFUSED(elf.p[0].p_paddr = 0x7000, -EFBIG, large); /* the boot parameters' place */
    REFUSED(elf.p[0].p_paddr = UINT64_MAX - 4095, -EFBIG, large);
    REFUSED(elf.p[0].p_paddr = 0x100000000, -EFBIG, large);
    REFUSED(elf.p[1].p_memsz = MEM_SIZE, -EFBIG, large);
    REFUSED(elf.h.e_entry = 0x1002000, -EINVAL, "the kernel has no entry point");
#undef REFUSED
    elf = good_elf();
    expect_elf(&elf, file_of(MEM_SIZE - 0x1500000), -EFBIG,
               "the initramfs does not fit into memory");
}

static void refuses_what_is_no_kernel(void)
{
    struct boot_entry e;
    struct error err = {0};
    struct setup_header h = good_header();
    setup();
    T_EQ(boot_load(&mem, file_of(0), -1, "", &e, &err), -EINVAL);
    T_EQ(boot_load(&mem, file_of(4096), -1, "", &e, &err), -EINVAL);
    T_STR(err.message, "the kernel image is not a bzImage");
    h.version = 0x20b;
    T_EQ(boot_load(&mem, kernel_file(&h, 4096), -1, "", &e, &err), -EINVAL);
    T_STR(err.message, "the kernel has no 64-bit entry point");
    h = good_header();
    h.setup_sects = 255;
    T_EQ(boot_load(&mem, kernel_file(&h, 4096), -1, "", &e, &err), -EINVAL);
    T_STR(err.message, "the kernel image is cut short");
}

static void refuses_what_does_not_fit(void)
{
    struct boot_entry e;
    struct error err = {0};
    struct setup_header h = good_header();
    char line[4096];
    setup();
    T_EQ(boot_load(&mem, kernel_file(&h, 4096), file_of(MEM_SIZE), "", &e, &err), -EFBIG);
    T_STR(err.message, "the initramfs does not fit into memory");
    T_EQ(boot_load(&mem, kernel_file(&h, 4096), file_of(MEM_SIZE - (20 << 20)), "", &e, &err),
         -EFBIG);
    h.init_size = 0xffffffff;
    T_EQ(boot_load(&mem, kernel_file(&h, 4096), -1, "", &e, &err), -EFBIG);
    h = good_header();
    h.pref_address = UINT64_MAX - 100;
    T_TRUE(boot_load(&mem, kernel_file(&h, 4096), -1, "", &e, &err) < 0);
    h = good_header();
    memset(line, 'a', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    T_EQ(boot_load(&mem, kernel_file(&h, 4096), -1, line, &e, &err), -EINVAL);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;
    while (len-- > 0)
        s = (uint8_t)(s + *p++);
    return s;
}

static uint32_t word(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* The table that the XSDT or FADT points to, checked. */
static const uint8_t *table(uint64_t gpa, const char *signature)
{
    const uint8_t *p = mem_at(&mem, gpa, 36);
    T_TRUE(p != NULL && memcmp(p, signature, 4) == 0);
    T_EQ(sum(p, word(p + 4)), 0);
    return p;
}

static void tables_are_well_formed(void)
{
    setup();
    T_EQ(acpi_build(&mem, 2, 4), 0);
    const uint8_t *rsdp = mem.base + LAYOUT_ACPI;
    T_MEM(rsdp, 8, "RSD PTR ", 8);
    T_EQ(sum(rsdp, 20), 0);
    T_EQ(sum(rsdp, 36), 0);
    const uint8_t *xsdt = table(word(rsdp + 24), "XSDT");
    const uint8_t *fadt = table(word(xsdt + 36), "FACP");
    const uint8_t *madt = table(word(xsdt + 44), "APIC");
    T_EQ(word(fadt + 4), 276);
    T_TRUE(word(fadt + 112) & 1u << 20);
    T_EQ(word(madt + 4), 44 + 2 * 8 + 12);
    (void)table(word(fadt + 140), "DSDT");
    T_EQ(acpi_build(&mem, 0, 4), -EINVAL);
    T_EQ(acpi_build(&mem, 9, 4), -EINVAL);
    T_EQ(acpi_build(&mem, 1, 5), -EINVAL);
}

static void save(const char *dir, const char *name, const uint8_t *t)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s.aml", dir, name);
    FILE *f = fopen(path, "w");
    T_EQ(fwrite(t, 1, word(t + 4), f), word(t + 4));
    fclose(f);
}

/* Another program's opinion: the disassembler must read each, and the compiler take it back without
 * a warning. */
static void a_disassembler_agrees(void)
{
    static const char *const wanted[] = {
        "Device (VR00)",
        "\"LNRO0005\"",
        "0xD0000000",
        "Device (GED)",
        "\"ACPI0013\"",
        "Device (VGEN)",
        "PNP0501",
        "_S5",
        "VGEN, 0x80)",
        "\"VM_Gen_Counter\"",
        "Hardware Reduced (V5) : 1",
        "Processor Enabled : 1",
        "I/O Apic ID",
        "DSDT",
        "(FADT)",
    };
    char dir[] = "/tmp/test-acpi-XXXXXX", cmd[512], *text = NULL;
    size_t len = 0;
    if (system("command -v iasl >/dev/null 2>&1") != 0) {
        printf("# iasl is not installed\n");
        return;
    }
    setup();
    T_EQ(acpi_build(&mem, 2, 4), 0);
    T_TRUE(t_mkdtemp(dir));
    const uint8_t *xsdt = table(word(mem.base + LAYOUT_ACPI + 24), "XSDT");
    const uint8_t *fadt = table(word(xsdt + 36), "FACP");
    save(dir, "xsdt", xsdt);
    save(dir, "fadt", fadt);
    save(dir, "madt", table(word(xsdt + 44), "APIC"));
    save(dir, "dsdt", table(word(fadt + 140), "DSDT"));
    snprintf(
        cmd, sizeof(cmd),
        "cd %s && for t in xsdt fadt madt dsdt; do iasl -d $t.aml >d.log 2>&1 && "
        "cp $t.dsl back.dsl && iasl back.dsl >c.log 2>&1 && grep -q '0 Errors, 0 Warn' c.log &&"
        " cat $t.dsl || { echo \"failed: $t\"; cat d.log c.log; }; done",
        dir);
    FILE *f = popen(cmd, "r");
    T_TRUE(getdelim(&text, &len, '\0', f) > 0);
    T_EQ(pclose(f), 0);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        if (strstr(text, wanted[i]) == NULL)
            T_FAIL("the disassembly lacks %s:\n%s", wanted[i], text);
    }
    if (strstr(text, "failed: ") != NULL)
        T_FAIL("iasl is not content:\n%s", text);
    free(text);
}

T_MAIN(T_CASE(loads_kernel_and_initramfs), T_CASE(loads_an_uncompressed_kernel),
       T_CASE(refuses_a_crooked_elf), T_CASE(refuses_what_is_no_kernel),
       T_CASE(refuses_what_does_not_fit), T_CASE(tables_are_well_formed),
       T_CASE(a_disassembler_agrees))
