/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_pack.h - a directory as an archive, its entries relative to it. Files, directories and links
 * go in; sockets, devices, and what cannot be read are left out and counted. Links are not
 * followed. A file that changes meanwhile has the length that it had at first. Blocks.
 */
#ifndef CORRAL_BASE_TAR_PACK_H
#define CORRAL_BASE_TAR_PACK_H

#include <limits.h>

#include "base/buf.h"

/* The caller zeroes it and sets `put`. */
struct tar_pack {
    /* Takes the next bytes. 0, or a negative errno that ends the packing. */
    int (*put)(struct tar_pack *p, const uint8_t *data, size_t len);
    /* `path` is left out for the reason `errnum`, or because it is no file (0). May be NULL. */
    void (*left_out)(struct tar_pack *p, const char *path, int errnum);
    uint64_t entries, bytes, skipped; /* so far */
    char path[PATH_MAX];              /* of the entry that is packed */
    struct buf header;
};

/* Packs one open regular file under the name `path`, and ends the archive. */
int tar_pack_file(struct tar_pack *p, int fd, const char *path);
/* Packs the open directory, which stays the caller's. 0 or a negative errno. */
int tar_pack_directory(struct tar_pack *p, int fd);

#endif
