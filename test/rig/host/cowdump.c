/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cowdump.c - writes the disk that a base image and an overlay make together as one sparse file, so
 * that other programs can look at it.
 *
 *   cowdump BASE OVERLAY OUT
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "disk_cow.h"

#define PIECE (64u << 10)

static int is_zero(const char *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static int dump(struct disk *d, int out)
{
    static char data[PIECE];
    for (uint64_t off = 0; off < d->size; off += PIECE) {
        size_t len = (size_t)MIN(d->size - off, (uint64_t)PIECE);
        struct iovec iov = {data, len};
        int rv = d->ops->read(d, &iov, 1, off, len);
        if (rv == 0 && !is_zero(data, len))
            rv = disk_fd_write(out, &iov, 1, off, len);
        if (rv < 0)
            return rv;
    }
    return ftruncate(out, (off_t)d->size) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
    struct disk *d = NULL;
    if (argc != 4)
        return 2;
    int base = open(argv[1], O_RDONLY | O_CLOEXEC), over = open(argv[2], O_RDWR | O_CLOEXEC);
    int out = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int rv = base < 0 || over < 0 || out < 0 ? -errno : disk_cow_open(base, over, &d);
    if (rv == 0)
        rv = dump(d, out);
    if (rv < 0)
        fprintf(stderr, "cowdump: %s\n", strerror(-rv));
    return rv < 0;
}
