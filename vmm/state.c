/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - headers, sections and checksums of a snapshot's files.
 *
 * The header is written last, into room left for it, because it holds the length and the checksum
 * of what follows. When a file is read, the header's own checksum comes first: no length in it is
 * used before it has been found to be intact.
 *
 * A section has its length, so that a reader of one part cannot stray into the next.
 */
#include "state.h"

#include <errno.h>
#include <string.h>

#include "crc32.h"

#define STATE_MAGIC   "CORLVM1"
#define TRAILER_MAGIC "CORLMEM"

#define STATE_OVERLAY    1u
#define STATE_DIFFERENCE 2u

struct state_header {
    char magic[8];
    uint32_t version;
    uint32_t cpu;
    uint64_t length; /* of the sections */
    uint64_t memory_size, disk_size;
    uint8_t id[STATE_ID_SIZE];
    uint32_t vcpus;
    uint32_t sections_crc;
    uint64_t memory_mtime;
    uint8_t base[STATE_ID_SIZE];
    uint32_t flags;
    uint32_t header_crc; /* of everything before */
};
_Static_assert(sizeof(struct state_header) == 96, "state header layout");

struct state_trailer {
    char magic[8];
    uint8_t id[STATE_ID_SIZE];
    uint64_t memory_size;
    uint32_t reserved;
    uint32_t crc; /* of everything before */
};
_Static_assert(sizeof(struct state_trailer) == 40, "memory trailer layout");

void state_start(struct buf *b)
{
    static const struct state_header room;
    (void)buf_append(b, &room, sizeof(room));
}

size_t state_begin(struct buf *b, enum state_tag tag)
{
    (void)buf_u32(b, tag);
    (void)buf_u32(b, 0);
    return b->len;
}

void state_end(struct buf *b, size_t start)
{
    uint32_t len = (uint32_t)(b->len - start);
    if (!b->failed)
        memcpy(b->data + start - sizeof(len), &len, sizeof(len));
}

int state_finish(struct buf *b, const struct state_meta *meta)
{
    if (b->failed)
        return -ENOMEM;
    if (b->len > STATE_MAX_SIZE)
        return -EFBIG;
    struct state_header h = {
        .magic = STATE_MAGIC,
        .version = STATE_VERSION,
        .cpu = meta->cpu,
        .length = b->len - sizeof(h),
        .memory_size = meta->memory_size,
        .memory_mtime = meta->memory_mtime,
        .disk_size = meta->disk_size,
        .vcpus = meta->vcpus,
        .flags = (meta->overlay ? STATE_OVERLAY : 0) | (meta->difference ? STATE_DIFFERENCE : 0),
        .sections_crc = crc32_update(0, b->data + sizeof(h), b->len - sizeof(h)),
    };
    memcpy(h.id, meta->id, sizeof(h.id));
    memcpy(h.base, meta->base, sizeof(h.base));
    h.header_crc = crc32_update(0, &h, offsetof(struct state_header, header_crc));
    memcpy(b->data, &h, sizeof(h));
    return 0;
}

int state_open(const void *data, size_t len, struct state_meta *ret, struct cursor *ret_sections,
               struct error *err)
{
    struct state_header h;
    if (len < sizeof(h) || len > STATE_MAX_SIZE)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the state file has no possible size");
    memcpy(&h, data, sizeof(h));
    if (memcmp(h.magic, STATE_MAGIC, sizeof(h.magic)) != 0)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the state file is not a snapshot");
    if (h.version != STATE_VERSION)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the snapshot has version %u, not %u",
                         h.version, STATE_VERSION);
    const uint8_t *sections = (const uint8_t *)data + sizeof(h);
    size_t sections_len = len - sizeof(h);
    if (h.header_crc != crc32_update(0, &h, offsetof(struct state_header, header_crc)) ||
        h.length != sections_len || h.sections_crc != crc32_update(0, sections, sections_len))
        return error_set(err, ERROR_INVALID_ARGUMENT, "the state file is damaged");
    *ret = (struct state_meta){
        .memory_size = h.memory_size,
        .memory_mtime = h.memory_mtime,
        .disk_size = h.disk_size,
        .vcpus = h.vcpus,
        .cpu = h.cpu,
        .overlay = (h.flags & STATE_OVERLAY) != 0,
        .difference = (h.flags & STATE_DIFFERENCE) != 0,
    };
    memcpy(ret->id, h.id, sizeof(ret->id));
    memcpy(ret->base, h.base, sizeof(ret->base));
    *ret_sections = cursor_on(sections, sections_len);
    return 0;
}

/* A file that lacks a section, or has one too many, fails here rather than in what reads it. */
int state_section(struct cursor *sections, enum state_tag tag, struct cursor *ret)
{
    uint32_t found = cursor_u32(sections), len = cursor_u32(sections);
    const uint8_t *p = cursor_bytes(sections, len);
    if (p == NULL || found != tag)
        return -EINVAL;
    *ret = cursor_on(p, len);
    return 0;
}

void state_put_blob(struct buf *b, const void *data, size_t size)
{
    (void)buf_u32(b, (uint32_t)size);
    (void)buf_append(b, data, size);
}

int state_get_blob(struct cursor *c, void *data, size_t size)
{
    uint32_t len = cursor_u32(c);
    const uint8_t *p = len == size ? cursor_bytes(c, size) : NULL;
    if (p == NULL)
        return -EINVAL;
    memcpy(data, p, size);
    return 0;
}

void state_make_trailer(uint8_t out[STATE_TRAILER], const struct state_meta *meta)
{
    struct state_trailer t = {.magic = TRAILER_MAGIC, .memory_size = meta->memory_size};
    memcpy(t.id, meta->id, sizeof(t.id));
    t.crc = crc32_update(0, &t, offsetof(struct state_trailer, crc));
    memset(out, 0, STATE_TRAILER);
    memcpy(out, &t, sizeof(t));
}

/* Pairs of files get mixed up by copying: the id says so before the guest finds out. */
int state_check_trailer(const uint8_t in[STATE_TRAILER], const struct state_meta *meta,
                        struct error *err)
{
    const uint8_t *id = meta->difference ? meta->base : meta->id;
    struct state_trailer t;
    memcpy(&t, in, sizeof(t));
    if (memcmp(t.magic, TRAILER_MAGIC, sizeof(t.magic)) != 0 ||
        t.crc != crc32_update(0, &t, offsetof(struct state_trailer, crc)))
        return error_set(err, ERROR_INVALID_ARGUMENT, "the memory file is damaged or cut short");
    if (t.memory_size != meta->memory_size || memcmp(t.id, id, sizeof(t.id)) != 0)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "the memory file belongs to another snapshot");
    return 0;
}
