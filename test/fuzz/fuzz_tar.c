/* SPDX-License-Identifier: Apache-2.0 */
/* An archive, in one piece and byte by byte: both readings agree, and no entry leads out. */
#include <stdlib.h>
#include <string.h>

#include "base/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct tar_reader reader;
    uint64_t entries, bytes, expected, sum;
    bool open;
};

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void note(struct reading *r, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        r->sum = r->sum * 31 + ((const uint8_t *)data)[i];
}

static int on_entry(struct tar_reader *t, const struct tar_entry *e)
{
    struct reading *r = container_of(t, struct reading, reader);
    char clean[PATH_MAX];
    require(!r->open);
    require(tar_clean_path(e->path, clean) == 0 && strcmp(clean, e->path) == 0);
    require(e->path[0] != '/' && strcmp(e->path, "..") != 0 && strncmp(e->path, "../", 3) != 0);
    if (e->type == TAR_SYMLINK)
        require(tar_link_stays(e->path, e->target));
    if (e->type == TAR_HARDLINK)
        require(tar_clean_path(e->target, clean) == 0 && strcmp(clean, e->target) == 0);
    require(e->mode <= 07777 && e->mtime_ns < 1000000000 && (e->type == TAR_FILE || e->size == 0));
    r->open = true;
    r->entries++;
    r->expected = e->size;
    note(r, e->path, strlen(e->path));
    return 0;
}

static int on_data(struct tar_reader *t, const uint8_t *data, size_t len)
{
    struct reading *r = container_of(t, struct reading, reader);
    require(r->open && len <= r->expected);
    r->expected -= len;
    r->bytes += len;
    note(r, data, len);
    return 0;
}

static int on_end(struct tar_reader *t)
{
    struct reading *r = container_of(t, struct reading, reader);
    require(r->open && r->expected == 0);
    r->open = false;
    return 0;
}

static int read_all(struct reading *r, const uint8_t *data, size_t size, size_t piece)
{
    static const struct tar_handler handler = {on_entry, on_data, on_end};
    int rv = 0;
    tar_reader_init(&r->reader, &handler);
    for (size_t at = 0; at < size && rv == 0; at += piece)
        rv = tar_feed(&r->reader, data + at, MIN(piece, size - at));
    require(rv == 0 || r->reader.why[0] != '\0');
    tar_reader_done(&r->reader);
    return rv;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reading whole, pieces;
    whole = pieces = (struct reading){0};
    int a = read_all(&whole, data, size, size > 0 ? size : 1), b = read_all(&pieces, data, size, 7);
    require(a == b && whole.entries == pieces.entries && whole.bytes == pieces.bytes &&
            whole.sum == pieces.sum && whole.reader.ended == pieces.reader.ended);
    return 0;
}
