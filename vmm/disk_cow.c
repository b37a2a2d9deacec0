/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_cow.c - the copy-on-write disk. Layout and crash rules are in disk_cow.h.
 *
 * A block's state is two bits of a map that is mapped privately from the overlay: reading it
 * costs no memory until it is touched, and a change stays in memory until a flush writes its
 * page. Order is all that makes this safe: data reaches the file before the map that names it
 * (cow_flush).
 *
 * Only one process has an overlay at a time (flock). The base image is never written and may be
 * shared by any number of them; its first block's checksum ties an overlay to it.
 *
 * Failure: the guest sees an I/O error. A write that fails changes no block's state, except that
 * a block at its edges may have been copied up, which changes no byte that the guest can read.
 */
#include "disk_cow.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "crc32.h"
#include "iov.h"

#define COW_MAGIC      "CORLCOW"
#define COW_VERSION    2u
#define COW_MAP_OFFSET 4096u
#define COW_PAGE       4096u
#define COW_PER_BYTE   4u
#define COW_MAX_IOV    256u

enum cow_state { COW_BASE = 0, COW_OWN = 1, COW_ZERO = 2 };

struct cow_header {
    char magic[8];
    uint32_t version;
    uint32_t block; /* DISK_COW_BLOCK */
    uint64_t size;  /* of the disk, bytes */
    uint64_t base_size;
    uint64_t data_offset;
    uint8_t id[DISK_ID_SIZE];
    uint32_t base_crc; /* of the base's first block */
    uint32_t crc;      /* of everything before */
};
_Static_assert(sizeof(struct cow_header) == 64, "overlay header layout");

struct disk_cow {
    struct disk disk;
    int base_fd, fd;          /* owned */
    struct cow_header header; /* as it is in the file */
    uint64_t base_size, data_offset;
    uint8_t *map; /* private mapping: pages never looked at cost nothing */
    size_t map_len;
    uint8_t *dirty; /* owned; one byte per page of the map */
    bool any_dirty;
};

/*@ requires size <= DISK_COW_MAX_SIZE;
  @ assigns \nothing;
  @ ensures room: size / DISK_COW_BLOCK <= \result * COW_PER_BYTE;
  @ ensures pages: \result % COW_PAGE == 0 && \result <= size;
  @*/
static uint64_t cow_map_len(uint64_t size)
{
    uint64_t bytes = (size / DISK_COW_BLOCK + COW_PER_BYTE - 1) / COW_PER_BYTE;
    return (bytes + COW_PAGE - 1) / COW_PAGE * COW_PAGE;
}

static bool cow_sizes_ok(uint64_t size, uint64_t base_size)
{
    return size > 0 && size <= DISK_COW_MAX_SIZE && size % DISK_COW_BLOCK == 0 && base_size <= size;
}

static uint32_t cow_header_crc(const struct cow_header *h)
{
    return crc32_update(0, h, offsetof(struct cow_header, crc));
}

/* A file system keeps its id, its dates and counts there: enough to tell two images apart. */
static int cow_base_crc(int base_fd, uint32_t *ret)
{
    uint8_t block[DISK_COW_BLOCK];
    struct iovec iov = {block, sizeof(block)};
    int rv = disk_fd_read(base_fd, &iov, 1, 0, sizeof(block));
    *ret = crc32_update(0, block, sizeof(block));
    return rv;
}

int disk_cow_format(int base_fd, int fd, uint64_t size)
{
    struct stat base;
    uint32_t base_crc;
    if (fstat(base_fd, &base) < 0)
        return -errno;
    if (!S_ISREG(base.st_mode) || !cow_sizes_ok(size, (uint64_t)base.st_size))
        return -EINVAL;
    int rv = cow_base_crc(base_fd, &base_crc);
    if (rv < 0)
        return rv;
    struct cow_header h = {
        .magic = COW_MAGIC,
        .version = COW_VERSION,
        .block = DISK_COW_BLOCK,
        .size = size,
        .base_size = (uint64_t)base.st_size,
        .data_offset = COW_MAP_OFFSET + cow_map_len(size),
        .base_crc = base_crc,
    };
    memcpy(h.id, disk_id_fresh, sizeof(h.id));
    h.crc = cow_header_crc(&h);
    /* Full length from the start, all holes: the map reads as BASE everywhere. */
    if (ftruncate(fd, (off_t)(h.data_offset + size)) < 0)
        return -errno;
    struct iovec iov = {&h, sizeof(h)};
    return disk_fd_write(fd, &iov, 1, 0, sizeof(h));
}

/*@ predicate cow_ok(struct disk_cow *c) =
  @     \valid(c) && c->map_len % COW_PAGE == 0 &&
  @     (c->map_len > 0 ==> \valid(c->map + (0 .. c->map_len - 1)) &&
  @                         \valid(c->dirty + (0 .. c->map_len / COW_PAGE - 1)));
  @ predicate cow_has(struct disk_cow *c, integer block) =
  @     0 <= block < c->map_len * COW_PER_BYTE;
  @*/

/*@ requires cow_ok(c) && cow_has(c, block);
  @ assigns \nothing;
  @*/
static enum cow_state cow_get(const struct disk_cow *c, uint64_t block)
{
    return (enum cow_state)(c->map[block / COW_PER_BYTE] >> (block % COW_PER_BYTE * 2) & 3);
}

/*@ requires cow_ok(c) && cow_has(c, block);
  @ requires \separated(c, c->map + (0 .. c->map_len - 1), c->dirty + (0 .. c->map_len / COW_PAGE -
  1));
  @ assigns c->map[block / COW_PER_BYTE], c->any_dirty,
  @     c->dirty[block / COW_PER_BYTE / COW_PAGE];
  @ ensures marked: c->map[block / COW_PER_BYTE] != \old(c->map[block / COW_PER_BYTE]) ==>
  @     c->any_dirty && c->dirty[block / COW_PER_BYTE / COW_PAGE] == 1;
  @*/
/* Only pages of the map that really changed are written by the next flush. */
static void cow_set(struct disk_cow *c, uint64_t block, enum cow_state state)
{
    uint64_t byte = block / COW_PER_BYTE;
    unsigned int shift = (unsigned int)(block % COW_PER_BYTE) * 2;
    uint8_t v = (uint8_t)((c->map[byte] & ~(3u << shift)) | (unsigned int)state << shift);
    if (v == c->map[byte])
        return;
    c->map[byte] = v;
    c->dirty[byte / COW_PAGE] = 1;
    c->any_dirty = true;
}

/* Bytes from `off`, at most `len`, that share one state. */
/*@ requires cow_ok(c) && len > 0 && off + len <= DISK_COW_MAX_SIZE;
  @ requires cow_has(c, (off + len - 1) / DISK_COW_BLOCK);
  @ assigns \nothing;
  @ ensures some: 0 < \result <= len;
  @*/
static uint64_t cow_run(const struct disk_cow *c, uint64_t off, uint64_t len)
{
    uint64_t block = off / DISK_COW_BLOCK;
    enum cow_state state = cow_get(c, block);
    uint64_t run = DISK_COW_BLOCK - off % DISK_COW_BLOCK;
    /*@ loop invariant 0 < run && off + run <= off + len + DISK_COW_BLOCK;
      @ loop invariant (off + run) % DISK_COW_BLOCK == 0;
      @ loop invariant off + run == (block + 1) * DISK_COW_BLOCK;
      @ loop assigns run, block;
      @ loop variant len - run;
      @*/
    while (run < len && cow_get(c, ++block) == state)
        run += DISK_COW_BLOCK;
    return MIN(run, len);
}

static int cow_read_run(struct disk_cow *c, const struct iovec *iov, size_t n, uint64_t off,
                        uint64_t len)
{
    switch (cow_get(c, off / DISK_COW_BLOCK)) {
    case COW_OWN:
        return disk_fd_read(c->fd, iov, n, c->data_offset + off, len);
    case COW_BASE:
        return disk_fd_read(c->base_fd, iov, n, off, len);
    default:
        (void)iov_zero(iov, n, 0, len);
        return 0;
    }
}

/* A read is cut into runs of one state, so that a request over untouched blocks is one call. */
static int cow_read(struct disk *d, const struct iovec *iov, size_t n, uint64_t off, uint64_t len)
{
    struct disk_cow *c = container_of(d, struct disk_cow, disk);
    for (uint64_t done = 0; done < len;) {
        struct iovec part[COW_MAX_IOV];
        uint64_t run = cow_run(c, off + done, len - done);
        size_t parts = iov_slice(iov, n, done, run, part);
        int rv = cow_read_run(c, part, parts, off + done, run);
        if (rv < 0)
            return rv;
        done += run;
    }
    return 0;
}

static int cow_read_now(struct disk *d, const struct iovec *iov, size_t n, uint64_t off,
                        uint64_t len)
{
    struct disk_cow *c = container_of(d, struct disk_cow, disk);
    if (cow_run(c, off, len) < len)
        return -EAGAIN;
    switch (cow_get(c, off / DISK_COW_BLOCK)) {
    case COW_OWN:
        return disk_fd_read_now(c->fd, iov, n, c->data_offset + off, len);
    case COW_BASE:
        return disk_fd_read_now(c->base_fd, iov, n, off, len);
    default:
        (void)iov_zero(iov, n, 0, len);
        return 0;
    }
}

/* Brings the whole block that contains `off` into the overlay, before a part of it is written. */
static int cow_copy_up(struct disk_cow *c, uint64_t off)
{
    uint8_t data[DISK_COW_BLOCK];
    uint64_t start = off / DISK_COW_BLOCK * DISK_COW_BLOCK;
    struct iovec iov = {data, sizeof(data)};
    if (cow_get(c, start / DISK_COW_BLOCK) == COW_OWN)
        return 0;
    int rv = cow_read_run(c, &iov, 1, start, sizeof(data));
    if (rv == 0)
        rv = disk_fd_write(c->fd, &iov, 1, c->data_offset + start, sizeof(data));
    if (rv == 0)
        cow_set(c, start / DISK_COW_BLOCK, COW_OWN);
    return rv;
}

static int cow_copy_up_edges(struct disk_cow *c, uint64_t off, uint64_t len)
{
    int rv = 0;
    if (off % DISK_COW_BLOCK != 0)
        rv = cow_copy_up(c, off);
    if (rv == 0 && (off + len) % DISK_COW_BLOCK != 0)
        rv = cow_copy_up(c, off + len - 1);
    return rv;
}

static int cow_bind(struct disk *d, const uint8_t id[DISK_ID_SIZE])
{
    struct disk_cow *c = container_of(d, struct disk_cow, disk);
    struct cow_header h = c->header;
    struct iovec iov = {&h, sizeof(h)};
    memcpy(h.id, id, sizeof(h.id));
    h.crc = cow_header_crc(&h);
    int rv = disk_fd_write(c->fd, &iov, 1, 0, sizeof(h));
    if (rv < 0)
        return rv;
    c->header = h;
    memcpy(d->id, id, sizeof(h.id));
    return 0;
}

/* Before a change: the overlay is not that of a snapshot any more. One call in an overlay's life,
 * and one after each snapshot. */
static int cow_unbind(struct disk_cow *c)
{
    static const uint8_t none[DISK_ID_SIZE];
    return memcmp(c->disk.id, none, sizeof(none)) == 0 ? 0 : cow_bind(&c->disk, none);
}

static int cow_write(struct disk *d, const struct iovec *iov, size_t n, uint64_t off, uint64_t len)
{
    struct disk_cow *c = container_of(d, struct disk_cow, disk);
    int rv = cow_unbind(c);
    if (rv == 0)
        rv = cow_copy_up_edges(c, off, len);
    if (rv == 0)
        rv = disk_fd_write(c->fd, iov, n, c->data_offset + off, len);
    if (rv < 0)
        return rv;
    /* Only now: until the bytes are there, the blocks are still the base's. */
    for (uint64_t b = off / DISK_COW_BLOCK; b <= (off + len - 1) / DISK_COW_BLOCK; b++)
        cow_set(c, b, COW_OWN);
    return 0;
}

/* The part of a block at an end of a range that is to be zeroed. */
static int cow_zero_edge(struct disk_cow *c, uint64_t off, uint64_t len)
{
    static const uint8_t zeros[DISK_COW_BLOCK];
    struct iovec iov = {(void *)(uintptr_t)zeros, len};
    int rv = cow_copy_up(c, off);
    return rv < 0 ? rv : disk_fd_write(c->fd, &iov, 1, c->data_offset + off, len);
}

/* The whole blocks in a range: [*ret_first, *ret_last). There are none when the first is not below
 * the last; when it is above, the range lies within one block. */
/*@ requires off + len <= DISK_COW_MAX_SIZE;
  @ requires \valid(ret_first) && \valid(ret_last) && \separated(ret_first, ret_last);
  @ assigns *ret_first, *ret_last;
  @ ensures blocks: *ret_first % DISK_COW_BLOCK == 0 && *ret_last % DISK_COW_BLOCK == 0;
  @ ensures head: off <= *ret_first < off + DISK_COW_BLOCK;
  @ ensures tail: *ret_last <= off + len < *ret_last + DISK_COW_BLOCK;
  @ ensures within: *ret_first > *ret_last ==> *ret_first == *ret_last + DISK_COW_BLOCK && *ret_last
  < off;
  @*/
static void cow_whole_blocks(uint64_t off, uint64_t len, uint64_t *ret_first, uint64_t *ret_last)
{
    *ret_first = (off + DISK_COW_BLOCK - 1) / DISK_COW_BLOCK * DISK_COW_BLOCK;
    *ret_last = (off + len) / DISK_COW_BLOCK * DISK_COW_BLOCK;
}

static int cow_zero(struct disk *d, uint64_t off, uint64_t len, bool discard)
{
    struct disk_cow *c = container_of(d, struct disk_cow, disk);
    uint64_t end = off + len, first, last;
    cow_whole_blocks(off, len, &first, &last);
    int rv = cow_unbind(c);
    if (rv < 0)
        return rv;
    if (!discard && first > last)
        return cow_zero_edge(c, off, len); /* inside one block */
    if (!discard && off < first)
        rv = cow_zero_edge(c, off, first - off);
    if (rv == 0 && !discard && last < end)
        rv = cow_zero_edge(c, last, end - last);
    if (rv < 0 || first >= last)
        return rv;
    /* Whole blocks need no bytes. A discard does without its edges: it may, and they would cost a
     * copy. */
    rv = disk_fd_zero(c->fd, c->data_offset + first, last - first);
    if (rv < 0)
        return rv;
    for (uint64_t b = first / DISK_COW_BLOCK; b < last / DISK_COW_BLOCK; b++)
        cow_set(c, b, COW_ZERO);
    return 0;
}

static int cow_write_map(struct disk_cow *c)
{
    for (size_t page = 0; page < c->map_len / COW_PAGE; page++) {
        struct iovec iov = {c->map + page * COW_PAGE, COW_PAGE};
        if (!c->dirty[page])
            continue;
        int rv = disk_fd_write(c->fd, &iov, 1, COW_MAP_OFFSET + page * COW_PAGE, COW_PAGE);
        if (rv < 0)
            return rv;
    }
    return 0;
}

static int cow_flush_all(struct disk_cow *c)
{
    if (fdatasync(c->fd) < 0)
        return -errno;
    /* Overwriting blocks that are OWN already changes no map: the usual flush is one call. */
    if (!c->any_dirty)
        return 0;
    int rv = cow_write_map(c);
    if (rv < 0)
        return rv;
    if (fdatasync(c->fd) < 0)
        return -errno;
    memset(c->dirty, 0, c->map_len / COW_PAGE);
    c->any_dirty = false;
    return 0;
}

/* A map is never written after blocks that were lost. */
static int cow_flush(struct disk *d)
{
    if (d->flush_error != 0)
        return d->flush_error;
    return disk_flushed(d, cow_flush_all(container_of(d, struct disk_cow, disk)));
}

/* The pages stay marked: only a flush may say that they are on the disk. */
static int cow_publish(struct disk *d)
{
    struct disk_cow *c = container_of(d, struct disk_cow, disk);
    return d->flush_error != 0 ? d->flush_error : cow_write_map(c);
}

static void cow_close(struct disk *d)
{
    struct disk_cow *c = container_of(d, struct disk_cow, disk);
    (void)munmap(c->map, c->map_len);
    (void)close(c->base_fd);
    (void)close(c->fd);
    free(c->dirty);
    free(c);
}

static const struct disk_ops cow_ops = {
    .read = cow_read,
    .read_now = cow_read_now,
    .write = cow_write,
    .flush = cow_flush,
    .publish = cow_publish,
    .zero = cow_zero,
    .bind = cow_bind,
    .close = cow_close,
};

static int cow_check(int base_fd, int fd, struct cow_header *h)
{
    struct stat base, own;
    struct iovec iov = {h, sizeof(*h)};
    uint32_t base_crc = 0;
    int rv = disk_fd_read(fd, &iov, 1, 0, sizeof(*h));
    if (rv == 0)
        rv = cow_base_crc(base_fd, &base_crc);
    if (fstat(base_fd, &base) < 0 || fstat(fd, &own) < 0)
        return -errno;
    if (rv < 0)
        return own.st_size < (off_t)sizeof(*h) ? -EBADMSG : rv;
    if (memcmp(h->magic, COW_MAGIC, sizeof(h->magic)) != 0 || h->crc != cow_header_crc(h))
        return -EBADMSG;
    if (h->version != COW_VERSION || h->block != DISK_COW_BLOCK)
        return -EPROTO;
    if (!S_ISREG(base.st_mode))
        return -EINVAL;
    if (!cow_sizes_ok(h->size, h->base_size) ||
        h->data_offset != COW_MAP_OFFSET + cow_map_len(h->size) ||
        (uint64_t)own.st_size < h->data_offset + h->size)
        return -EBADMSG;
    return (uint64_t)base.st_size != h->base_size || base_crc != h->base_crc ? -ESTALE : 0;
}

static int cow_check_map(const struct disk_cow *c, int fd)
{
    /* State 3 does not exist. Only the written parts of the map are looked at: holes are BASE. */
    off_t end = (off_t)(COW_MAP_OFFSET + c->map_len);
    off_t pos = lseek(fd, COW_MAP_OFFSET, SEEK_DATA);
    while (pos >= 0 && pos < end) {
        off_t hole = lseek(fd, pos, SEEK_HOLE), stop = MIN(hole, end);
        for (; pos < stop; pos++) {
            uint8_t v = c->map[(size_t)pos - COW_MAP_OFFSET];
            if ((v & v >> 1 & 0x55) != 0)
                return -EBADMSG;
        }
        pos = pos < end ? lseek(fd, pos, SEEK_DATA) : end;
    }
    return 0;
}

/* `h` is what the overlay begins with; `made`: its map is empty. */
static int cow_open(int base_fd, int overlay_fd, const struct cow_header *h, bool made,
                    struct disk **ret)
{
    cleanup_free struct disk_cow *c = calloc(1, sizeof(*c));
    size_t map_len = (size_t)cow_map_len(h->size);
    cleanup_free uint8_t *dirty = calloc(map_len / COW_PAGE, 1);
    if (c == NULL || dirty == NULL)
        return -ENOMEM;
    /* Private, so that the kernel never writes the map on its own before the data is there. */
    void *map = mmap(NULL, map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE, overlay_fd,
                     COW_MAP_OFFSET);
    if (map == MAP_FAILED)
        return -errno;
    *c = (struct disk_cow){
        .disk = {.ops = &cow_ops, .size = h->size},
        .header = *h,
        .base_size = h->base_size,
        .data_offset = h->data_offset,
        .map = map,
        .map_len = map_len,
    };
    memcpy(c->disk.id, h->id, sizeof(h->id));
    int rv = made ? 0 : cow_check_map(c, overlay_fd);
    if (rv < 0) {
        (void)munmap(map, map_len);
        return rv;
    }
    c->base_fd = base_fd;
    c->fd = overlay_fd;
    c->dirty = TAKE_PTR(dirty);
    *ret = &TAKE_PTR(c)->disk;
    return 0;
}

/* Two VMs on one overlay would each keep a map of their own and destroy the other's. */
static int cow_lock(int overlay_fd)
{
    if (flock(overlay_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return 0;
}

int disk_cow_open(int base_fd, int overlay_fd, struct disk **ret)
{
    struct cow_header h;
    int rv = cow_lock(overlay_fd);
    if (rv == 0)
        rv = cow_check(base_fd, overlay_fd, &h);
    return rv == 0 ? cow_open(base_fd, overlay_fd, &h, false, ret) : rv;
}

int disk_cow_open_made(int base_fd, int overlay_fd, struct disk **ret)
{
    struct cow_header h;
    struct iovec iov = {&h, sizeof(h)};
    int rv = cow_lock(overlay_fd);
    if (rv == 0)
        rv = disk_fd_read(overlay_fd, &iov, 1, 0, sizeof(h));
    return rv == 0 ? cow_open(base_fd, overlay_fd, &h, true, ret) : rv;
}
