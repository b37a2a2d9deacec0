/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.c - a disk image in a plain file, and the transfers that all images share.
 *
 * Transfers block, which is why a thread makes them (disk_worker.h). disk_fd_read_now is for the
 * loop: it takes what the page cache has and nothing else.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "iov.h"

#define DISK_IOV_BATCH 64u

const uint8_t disk_id_fresh[DISK_ID_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct disk_raw {
    struct disk disk;
    int fd; /* owned */
};

static int disk_fd_transfer(int fd, const struct iovec *iov, size_t n, uint64_t off, uint64_t len,
                            bool write)
{
    size_t done = 0;
    while (done < len) {
        /* A request has up to VIRTQ_MAX_SIZE pieces; they go out in batches, and a short transfer
         * continues in the middle of one. */
        struct iovec part[DISK_IOV_BATCH];
        size_t skipped = 0, first = 0;
        while (first < n && skipped + iov[first].iov_len <= done)
            skipped += iov[first++].iov_len;
        size_t count = MIN(n - first, (size_t)DISK_IOV_BATCH);
        count = iov_slice(iov + first, count, done - skipped, len - done, part);
        if (count == 0)
            return -EINVAL;
        off_t pos = (off_t)(off + done);
        ssize_t got = write ? pwritev(fd, part, (int)count, pos)
                            : preadv(fd, part, (int)count, pos);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0 && write)
            return -EIO;
        /* Past the end of the file: an image may be shorter than the disk it stands for. */
        if (got == 0) {
            (void)iov_zero(iov, n, done, len - done);
            return 0;
        }
        done += (size_t)got;
    }
    return 0;
}

int disk_fd_read(int fd, const struct iovec *iov, size_t n, uint64_t off, uint64_t len)
{
    return disk_fd_transfer(fd, iov, n, off, len, false);
}

int disk_fd_read_now(int fd, const struct iovec *iov, size_t n, uint64_t off, uint64_t len)
{
    ssize_t got = preadv2(fd, iov, (int)n, (off_t)off, RWF_NOWAIT);
    return got == (ssize_t)len ? 0 : -EAGAIN;
}

int disk_fd_write(int fd, const struct iovec *iov, size_t n, uint64_t off, uint64_t len)
{
    return disk_fd_transfer(fd, iov, n, off, len, true);
}

int disk_fd_zero(int fd, uint64_t off, uint64_t len)
{
    /* A hole reads as zeros and gives the host its space back. */
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) == 0)
        return 0;
    return -errno;
}

static int disk_raw_read(struct disk *d, const struct iovec *iov, size_t n, uint64_t off,
                         uint64_t len)
{
    return disk_fd_read(container_of(d, struct disk_raw, disk)->fd, iov, n, off, len);
}

static int disk_raw_read_now(struct disk *d, const struct iovec *iov, size_t n, uint64_t off,
                             uint64_t len)
{
    return disk_fd_read_now(container_of(d, struct disk_raw, disk)->fd, iov, n, off, len);
}

static int disk_raw_write(struct disk *d, const struct iovec *iov, size_t n, uint64_t off,
                          uint64_t len)
{
    return disk_fd_write(container_of(d, struct disk_raw, disk)->fd, iov, n, off, len);
}

static int disk_raw_flush(struct disk *d)
{
    return disk_flushed(d, fdatasync(container_of(d, struct disk_raw, disk)->fd) < 0 ? -errno : 0);
}

static int disk_raw_zero(struct disk *d, uint64_t off, uint64_t len, bool discard)
{
    (void)discard;
    return disk_fd_zero(container_of(d, struct disk_raw, disk)->fd, off, len);
}

static void disk_raw_close(struct disk *d)
{
    struct disk_raw *r = container_of(d, struct disk_raw, disk);
    (void)close(r->fd);
    free(r);
}

static const struct disk_ops disk_raw_ops = {
    .read = disk_raw_read,
    .read_now = disk_raw_read_now,
    .write = disk_raw_write,
    .flush = disk_raw_flush,
    .zero = disk_raw_zero,
    .close = disk_raw_close,
};

int disk_raw_open(int fd, struct disk **ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < DISK_SECTOR || st.st_size % DISK_SECTOR != 0)
        return -EINVAL;
    struct disk_raw *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    r->disk = (struct disk){.ops = &disk_raw_ops, .size = (uint64_t)st.st_size};
    r->fd = fd;
    *ret = &r->disk;
    return 0;
}
