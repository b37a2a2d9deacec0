/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's bytes to corral-egress, split at a point that the input chooses: the first frame,
 * then a stream. Steps and payloads must not depend on the split nor on how much is taken at once.
 */
#include <stdlib.h>
#include <string.h>

#include "egress/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash;
    size_t bytes;
    enum frame_step end;
};

static void note(struct seen *s, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        s->hash = (s->hash ^ p[i]) * 1099511628211u;
}

static void walk(struct seen *s, struct frame_walk *w, struct span piece, size_t most)
{
    struct span got;
    while (s->end != FRAME_BAD) {
        const char *from = piece.data, *to = piece.data + piece.len;
        enum frame_step step = frame_next(w, &piece, most, &got);
        if (step == FRAME_MORE)
            return;
        if (step == FRAME_BYTES) {
            if (got.len == 0 || got.len > most || got.data < from || got.data + got.len > to)
                abort();
            note(s, got.data, got.len);
            s->bytes += got.len;
        } else {
            note(s, &(uint8_t){(uint8_t)step}, 1);
            s->end = step;
        }
    }
}

static struct seen run(const uint8_t *data, size_t size, size_t split, size_t most)
{
    struct seen s = {.hash = 14695981039346656037u};
    struct frame_walk w = {.have = 0};
    walk(&s, &w, (struct span){(const char *)data, split}, most);
    walk(&s, &w, (struct span){(const char *)data + split, size - split}, most);
    return s;
}

static size_t first(const uint8_t *data, size_t size)
{
    struct frame_first f;
    char name[NAME_SIZE];
    int used = frame_first_read((struct span){(const char *)data, size}, &f);
    if (used <= 0)
        return 0;
    if ((size_t)used > size || f.host.len > (size_t)used)
        abort();
    (void)name_read(f.host.data, f.host.len, name);
    return (size_t)used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t split = data[0] | (size_t)data[1] << 8, most = data[2] + (size_t)1;
    data += 3;
    size -= 3;
    size_t used = first(data, size);
    data += used;
    size -= used;
    struct seen whole = run(data, size, size, SIZE_MAX);
    struct seen pieces = run(data, size, split <= size ? split : size, most);
    if (whole.hash != pieces.hash || whole.bytes != pieces.bytes || whole.end != pieces.end)
        abort();
    return 0;
}
