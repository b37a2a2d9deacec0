/* SPDX-License-Identifier: Apache-2.0 */
/* A list of pages to be made ready: whatever it says, only pages of the guest are touched, and no
 * byte of them changes. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "workset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FENCE 0x5a

static struct mem mem;

/* The memory of the guest, with a page that cannot be touched on either side. */
static void make_memory(void)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, MEM_MIN_SIZE) < 0 || mem_init_file(&mem, fd, MEM_MIN_SIZE) < 0)
        abort();
    uint8_t *room = mmap(NULL, MEM_MIN_SIZE + 2 * MEM_PAGE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED || mremap(mem.base, mem.size, mem.size, MREMAP_MAYMOVE | MREMAP_FIXED,
                                     room + MEM_PAGE) == MAP_FAILED)
        abort();
    mem.base = room + MEM_PAGE;
    mem.base[0] = mem.base[mem.size - 1] = FENCE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct workset w;
    uint64_t gpa, len;
    if (mem.base == NULL)
        make_memory();
    int fd = memfd_create("workset", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || workset_open(&w, &mem, fd) < 0)
        abort();
    workset_read_ahead(&w, &mem);
    if (workset_copy(&w, &mem) > WORKSET_COPY || mem.base[0] != FENCE ||
        mem.base[mem.size - 1] != FENCE)
        abort();
    for (size_t i = 0; i < WORKSET_DENSE; i++) {
        if (workset_dense(&w, &mem, i, &gpa, &len) && mem_at(&mem, gpa, len) == NULL)
            abort();
    }
    workset_done(&w);
    close(fd);
    return 0;
}
