/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel image and an initramfs that are anything at all. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mem mem;
    struct boot_entry entry;
    struct error err;
    if (mem.base == NULL && mem_init_new(&mem, MEM_MIN_SIZE) < 0)
        abort();
    int kernel = memfd_create("kernel", MFD_CLOEXEC), initrd = memfd_create("initrd", MFD_CLOEXEC);
    /* The input is the start of a larger image, so that its lengths have something to point at. */
    if (write(kernel, data, size) != (ssize_t)size || ftruncate(kernel, 65536) < 0 ||
        ftruncate(initrd, (off_t)size * 1000) < 0)
        abort();
    int rv = boot_load(&mem, kernel, initrd, "quiet", &entry, &err);
    if (rv == 0 && mem_at(&mem, entry.rip, 1) == NULL)
        abort();
    close(kernel);
    close(initrd);
    return 0;
}
