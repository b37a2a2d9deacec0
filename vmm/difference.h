/* SPDX-License-Identifier: Apache-2.0 */
/*
 * difference.h - the memory of a restored VM as what differs from its base: the complete memory
 * file that it is a private view of.
 *
 *   header  one page: struct diff_header
 *   runs    struct diff_run, ascending; a run of zeros has no bytes in the file
 *   sums    u32 each: of DIFF_GROUP pages of data (pagesum.h), unless the file is only for memory
 *   data    from the next page boundary on: the pages of all other runs, in order
 *
 * Whatever a file says is checked before it is used, in this order: lengths in the header, the
 * header's checksum, that of runs and sums, each run, and the sum of each group as it is read.
 */
#ifndef CORRAL_VMM_DIFFERENCE_H
#define CORRAL_VMM_DIFFERENCE_H

#include "base/error.h"
#include "mem.h"

#define DIFF_MAGIC       "CORLDIF"
#define DIFF_VERSION     2u
#define DIFF_VERSION_CRC 1u /* still read: the sums are CRC-32C, too */
#define DIFF_ID_SIZE     16u
#define DIFF_GROUP       256u       /* pages */
#define DIFF_MAX_RUNS    (1u << 18) /* beyond it, neighbours are joined with what is between them */
#define DIFF_ZERO        0x80000000u
/* Bytes in a file beside the pages of memory, at most. */
#define DIFF_ROOM (4ull << 20)

struct diff_run {
    uint32_t first; /* page of the RAM */
    uint32_t pages; /* | DIFF_ZERO: they read as zeros */
};

struct diff_header {
    char magic[8];
    uint32_t version;
    uint32_t runs;
    uint32_t sums;      /* 0: there are none */
    uint32_t table_crc; /* of runs and sums */
    uint64_t data_pages;
    uint64_t memory_size;
    uint8_t id[DIFF_ID_SIZE];   /* of the snapshot */
    uint8_t base[DIFF_ID_SIZE]; /* of that whose memory is the base */
    uint32_t reserved;
    uint32_t crc; /* of everything before */
};

struct diff {
    struct diff_run *run; /* owned */
    size_t count, room;
    uint32_t *sum; /* owned; NULL: none */
    uint32_t version;
    uint64_t data_pages;
};

/* The beginning of a file in memory. */
struct diff_room {
    uint8_t *at; /* NULL: there is none */
    uint64_t len;
};

/* Whom a file belongs to, and goes with. */
struct diff_meta {
    uint8_t id[DIFF_ID_SIZE], base[DIFF_ID_SIZE];
    uint64_t memory_size;
};

void diff_done(struct diff *d);

/* The pages that the base does not have, from the page map of this process. Nothing changes memory
 * meanwhile, or the result is an estimate. 0 or a negative errno. */
int diff_collect(struct diff *d, const struct mem *m, int pagemap_fd);
/* Of the file that it becomes; `sums` as for diff_write. */
uint64_t diff_file_size(const struct diff *d, bool sums);
/* Into the empty regular file `fd`; with `sums`, unless nobody will read them. The header comes
 * last: a file that is cut short has none. `room`: the file is as long as that, and mapped there;
 * what is behind diff_file_size in the end is to be cut off. 0 or a negative errno. */
int diff_write(struct diff *d, const struct mem *m, int fd, const struct diff_room *room,
               const struct diff_meta *meta, bool sums);

/* Reads and checks all but the pages. -EINVAL, and the reason, when it is damaged or does not go
 * with `meta`. */
int diff_open(struct diff *d, int fd, const struct diff_meta *meta, struct error *err);
/* Over a view of the base that nobody uses yet. `sealed`: the file can never change, so that long
 * runs may be mapped privately and shared by all who do so; they have no sums. All else is read,
 * and its sums checked. */
int diff_apply(const struct diff *d, struct mem *m, int fd, bool sealed, struct error *err);

#endif
