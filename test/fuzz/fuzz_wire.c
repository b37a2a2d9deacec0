/* SPDX-License-Identifier: Apache-2.0 */
/* A peer's bytes, split at a point the input chooses: frames must not depend on the split, and
 * fields stay inside their frame. */
#include <stdlib.h>
#include <string.h>

#include "base/wire_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_fields(const struct wire_frame *f)
{
    struct cursor c = cursor_on(f->payload, f->len);
    char **list = wire_get_list(&c);
    free(list);
    c = cursor_on(f->payload, f->len);
    while (cursor_ok(&c) && c.left > 0) {
        char *s = wire_get_str(&c);
        if (s != NULL && memchr(s, '\0', strlen(s)) != NULL)
            abort();
        free(s);
    }
    c = cursor_on(f->payload, f->len);
    (void)cursor_u16(&c);
    struct span s = wire_get_span(&c);
    if (cursor_ok(&c) && s.len > f->len)
        abort();
}

/* Where a frame of DATA ends does not count when it comes in parts. */
static void hash_frame(uint64_t *hash, const struct wire_frame *f, bool parts)
{
    size_t mark = parts && f->type == WIRE_DATA ? 0 : f->len;
    *hash = mark > 0 || f->len == 0 ? (*hash ^ f->type ^ mark << 16) * 1099511628211u : *hash;
    for (size_t k = 0; k < f->len; k++)
        *hash = (*hash ^ f->payload[k] ^ (uint64_t)f->type << 8) * 1099511628211u;
}

/* What was lent is gone afterwards, which a sanitizer sees. */
static int run_piece(struct wire_reader *r, const uint8_t *data, size_t size, uint64_t *hash)
{
    int rv;
    struct wire_frame f;
    uint8_t *copy = malloc(size);
    if (copy == NULL && size > 0)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    if ((r->parts ? wire_reader_lend(r, copy, size) : wire_reader_feed(r, copy, size)) < 0)
        abort();
    while ((rv = wire_reader_next(r, &f)) == 1) {
        read_fields(&f);
        hash_frame(hash, &f, r->parts);
    }
    if (wire_reader_keep(r) < 0)
        abort();
    free(copy);
    return rv;
}

/* A hash of all frames; the state of the reader in *ret_end. */
static uint64_t run(const uint8_t *data, size_t size, size_t split, bool parts, int *ret_end)
{
    struct wire_reader r = {.max_payload = 4096, .parts = parts};
    uint64_t hash = 14695981039346656037u;
    *ret_end = run_piece(&r, data, split, &hash);
    if (*ret_end == 0)
        *ret_end = run_piece(&r, data + split, size - split, &hash);
    (void)wire_reader_rest(&r);
    wire_reader_done(&r);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int end_whole, end_split;
    if (size < 2)
        return 0;
    size_t split = (size_t)(data[0] | data[1] << 8) % (size - 1);
    data += 2;
    size -= 2;
    for (int parts = 0; parts < 2; parts++) {
        uint64_t whole = run(data, size, size, parts != 0, &end_whole);
        uint64_t pieces = run(data, size, MIN(split, size), parts != 0, &end_split);
        if (whole != pieces || end_whole != end_split)
            abort();
    }
    return 0;
}
