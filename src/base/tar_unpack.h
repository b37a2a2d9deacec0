/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_unpack.h - an archive into a directory, as its bytes come. Nothing outside of the directory
 * is touched, whatever the archive says and whatever links are there already: no part of a path may
 * be a link. A file appears whole, in place of the old one; what came before a fault stays. Owners
 * are the caller's, set-user-id bits are dropped, the owner can always enter a new directory.
 */
#ifndef CORRAL_BASE_TAR_UNPACK_H
#define CORRAL_BASE_TAR_UNPACK_H

#include "base/tar.h"

/* Embedded in its owner; the fields are tar_unpack.c's alone but those of the second part. */
struct tar_unpack {
    int dir;    /* of the tree */
    int parent; /* of the entry at hand; the directory `parent_path` */
    int fd;     /* of the file at hand */
    char parent_path[PATH_MAX];
    char name[NAME_MAX + 1]; /* of the file at hand */
    char temp[40];           /* what it is called until it is whole; "": nothing */
    uint32_t mode;
    struct timespec mtime;

    struct tar_reader reader; /* why: of what has gone wrong */
    uint64_t entries, bytes;
};

/* `dir` stays the caller's. */
void tar_unpack_init(struct tar_unpack *u, int dir);
/* 0, or a negative errno; nothing may be fed after that. */
int tar_unpack_feed(struct tar_unpack *u, const uint8_t *data, size_t len);
/* The archive's last byte was fed. 0, or -EPROTO when more should have come. */
int tar_unpack_end(struct tar_unpack *u);
/* A file that is not whole is removed. */
void tar_unpack_done(struct tar_unpack *u);

#endif
