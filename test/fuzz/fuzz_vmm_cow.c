/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged overlay file, and reads and writes on what still opens. */
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "disk_cow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[DISK];
    struct disk *d = NULL;
    int base = memfd_create("base", MFD_CLOEXEC), over = memfd_create("over", MFD_CLOEXEC);
    struct cursor c = cursor_on(data, size);
    uint8_t where = cursor_u8(&c), len = cursor_u8(&c);
    if (ftruncate(base, DISK) < 0 || disk_cow_format(base, over, DISK) < 0)
        abort();
    const uint8_t *damage = cursor_bytes(&c, len);
    /* Low numbers hit the header, high ones the map. */
    off_t at = where < 64 ? where : 4096 + where - 64;
    if (damage != NULL && pwrite(over, damage, len, at) != len)
        abort();
    if (disk_cow_open(base, over, &d) < 0) {
        close(base);
        close(over);
        return 0;
    }
    while (cursor_ok(&c) && c.left > 0) {
        uint8_t op = cursor_u8(&c);
        uint64_t off = cursor_u8(&c) % 128 * 512u, n = cursor_u8(&c) % 128 * 512u + 512;
        n = n > DISK - off ? DISK - off : n;
        struct iovec iov = {bytes, n};
        int rv = 0;
        switch (op % 4) {
        case 0:
            rv = d->ops->read(d, &iov, 1, off, n);
            break;
        case 1:
            rv = d->ops->write(d, &iov, 1, off, n);
            break;
        case 2:
            rv = d->ops->zero(d, off, n, (op & 4) != 0);
            break;
        default:
            rv = d->ops->flush(d);
        }
        if (rv < 0)
            abort();
    }
    disk_close(d);
    return 0;
}
