/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar.h - archives of files, directories and links, as POSIX's pax format has them: ustar headers,
 * and records before them for what a header has no room for. What GNU tar writes for long names is
 * read, too.
 *
 * A reader refuses, whoever wrote the archive, what could lead out of the tree that it is unpacked
 * into: absolute paths, "..", links that leave it; and what is neither file, directory nor link.
 *
 * An own codec, because the agent is one small static program that goes into every sandbox: the
 * library that knows every format is ten times its size and wants character set tables at run time.
 */
#ifndef CORRAL_BASE_TAR_H
#define CORRAL_BASE_TAR_H

#include <limits.h>
#include <stdbool.h>

#include "base/buf.h"

#define TAR_BLOCK    512u
#define TAR_META_MAX 65536u /* bytes of the records before one header */
#define TAR_DEPTH    256u   /* names in one path */

enum tar_type { TAR_FILE, TAR_DIRECTORY, TAR_SYMLINK, TAR_HARDLINK };

struct tar_entry {
    enum tar_type type;
    const char *path;   /* relative, without "." and ".." parts; "." is the tree itself */
    const char *target; /* of a link; of a hard link a path like `path` */
    uint32_t mode;      /* 07777 */
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint64_t size; /* of a file */
};

/* Appends what comes before the entry's data. The data are then padded with zeros to whole blocks
 * (tar_padding), and the archive ends with tar_put_end. 0 or a negative errno. */
int tar_put_header(struct buf *out, const struct tar_entry *e);
int tar_put_end(struct buf *out);
static inline size_t tar_padding(uint64_t size)
{
    return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

struct tar_reader;

/* Each returns 0, or a negative errno that ends the reading. `entry` and `end` surround the data.
 */
struct tar_handler {
    int (*entry)(struct tar_reader *r, const struct tar_entry *e);
    int (*data)(struct tar_reader *r, const uint8_t *data, size_t len);
    int (*end)(struct tar_reader *r);
};

/* What the records before a header say of it. */
struct tar_meta {
    char path[PATH_MAX], target[PATH_MAX]; /* "": nothing */
    bool has_size, has_mtime;
    uint64_t size;
    int64_t mtime_s;
    uint32_t mtime_ns;
};

/* Embedded in its owner; the fields are tar.c's alone but `why`. */
struct tar_reader {
    const struct tar_handler *handler;
    char why[200]; /* what is wrong with the archive, after -EPROTO and -EINVAL; it names the entry
                    */
    uint8_t block[TAR_BLOCK];
    size_t have;   /* bytes in it */
    uint64_t left; /* bytes of data or records that are still to come */
    size_t padding;
    char record; /* the type of the records that are read; 0: data of an entry */
    bool in_entry, ended;
    unsigned int zeros; /* empty blocks in a row */
    struct buf text;    /* the records */
    struct tar_meta meta;
};

void tar_reader_init(struct tar_reader *r, const struct tar_handler *handler);
void tar_reader_done(struct tar_reader *r);
/* The next bytes of the archive. What follows its end is dropped. 0, -EPROTO (malformed), -EINVAL
 * (refused), or what a handler returned; nothing may be fed after that. */
int tar_feed(struct tar_reader *r, const uint8_t *data, size_t len);
/* Whether all of the archive has come. */
static inline bool tar_is_complete(const struct tar_reader *r)
{
    return r->ended;
}

/* Brings a path into the form of tar_entry. 0, or -EINVAL when it is absolute, leads upwards, or is
 * too long or too deep. */
int tar_clean_path(const char *path, char ret[PATH_MAX]);
/* Whether a symbolic link at `path`, which is clean, stays in the tree wherever else links lead:
 * ".." may only come first, and not more often than there are directories above it. */
bool tar_link_stays(const char *path, const char *target);

#endif
