/* SPDX-License-Identifier: Apache-2.0 */
/* pagemap.c - reads the page map of this process, by pages of the guest. */
#include "pagemap.h"

#include <errno.h>
#include <unistd.h>

ssize_t pagemap_read(const struct mem *m, int pagemap_fd, uint64_t page,
                     uint64_t entry[PAGEMAP_BATCH])
{
    uint64_t first = (uintptr_t)m->base / MEM_PAGE + page;
    size_t want = (size_t)MIN(m->size / MEM_PAGE - page, (uint64_t)PAGEMAP_BATCH);
    ssize_t got = pread(pagemap_fd, entry, want * sizeof(entry[0]),
                        (off_t)(first * sizeof(entry[0])));
    if (got < 0)
        return -errno;
    return got < (ssize_t)sizeof(entry[0]) ? -EIO : got / (ssize_t)sizeof(entry[0]);
}
