/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - what a block device needs from its image. Calls block; lengths are exact: 0 when all
 * bytes were transferred, otherwise a negative errno and an unknown part of them.
 *
 * Durability is that of a disk with a write cache: what was written before a successful flush
 * survives a crash of the machine; of later writes any subset of whole sectors may. A flush that
 * has failed stays failed: the kernel reports a lost page once, and a later success would be a lie.
 *
 * `id` ties an image with an overlay to the snapshot whose disk it is. It is that of the snapshot
 * from the moment the snapshot is taken until the first change, so that neither a later state of
 * the same overlay nor another one can be taken for it.
 */
#ifndef CORRAL_VMM_DISK_H
#define CORRAL_VMM_DISK_H

#include <stdbool.h>
#include <sys/uio.h>

#include "base/base.h"

#define DISK_SECTOR  512u
#define DISK_ID_SIZE 16u

struct disk;

struct disk_ops {
    int (*read)(struct disk *d, const struct iovec *iov, size_t n, uint64_t off, uint64_t len);
    /* A read that does not block: 0, or -EAGAIN and an unknown part is done. May be NULL. */
    int (*read_now)(struct disk *d, const struct iovec *iov, size_t n, uint64_t off, uint64_t len);
    int (*write)(struct disk *d, const struct iovec *iov, size_t n, uint64_t off, uint64_t len);
    int (*flush)(struct disk *d);
    /* What was written can be read from the image's files, by whoever copies them before the next
     * write; it need not be on the disk. NULL: it always can. */
    int (*publish)(struct disk *d);
    /* The range reads as zeros afterwards, or, with `discard`, as anything. */
    int (*zero)(struct disk *d, uint64_t off, uint64_t len, bool discard);
    /* Sets the id. NULL: this kind of image has none. */
    int (*bind)(struct disk *d, const uint8_t id[DISK_ID_SIZE]);
    void (*close)(struct disk *d);
};

struct disk {
    const struct disk_ops *ops;
    uint64_t size;            /* bytes, a multiple of DISK_SECTOR */
    uint8_t id[DISK_ID_SIZE]; /* of the snapshot; disk_id_fresh: nothing was written yet */
    int flush_error;          /* not 0: of the first flush that failed, and of all after it */
};

extern const uint8_t disk_id_fresh[DISK_ID_SIZE];

/* For implementations. */
static inline int disk_flushed(struct disk *d, int rv)
{
    if (d->flush_error == 0)
        d->flush_error = rv;
    return d->flush_error;
}

/* An image used as it is, read and written in place. Takes ownership of `fd` on success. */
int disk_raw_open(int fd, struct disk **ret);

/* All bytes at `off` of `fd`, in both directions; short transfers are continued, and a read past
 * the end of the file gives zeros. For implementations. */
int disk_fd_read(int fd, const struct iovec *iov, size_t n, uint64_t off, uint64_t len);
int disk_fd_read_now(int fd, const struct iovec *iov, size_t n, uint64_t off, uint64_t len);
int disk_fd_write(int fd, const struct iovec *iov, size_t n, uint64_t off, uint64_t len);
int disk_fd_zero(int fd, uint64_t off, uint64_t len);

static inline void disk_close(struct disk *d)
{
    if (d != NULL)
        d->ops->close(d);
}

#endif
