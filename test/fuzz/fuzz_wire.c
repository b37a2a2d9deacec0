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

/* A hash of all frames; the state of the reader in *ret_end. */
static uint64_t run(const uint8_t *data, size_t size, size_t split, int *ret_end)
{
    struct wire_reader r = {.max_payload = 4096};
    struct wire_frame f;
    uint64_t hash = 14695981039346656037u;
    const size_t pieces[] = {split, size - split};
    *ret_end = 0;
    for (int i = 0; i < 2 && *ret_end == 0; i++) {
        if (wire_reader_feed(&r, data, pieces[i]) < 0)
            abort();
        data += pieces[i];
        int rv;
        while ((rv = wire_reader_next(&r, &f)) == 1) {
            read_fields(&f);
            hash = (hash ^ f.type ^ f.len << 16) * 1099511628211u;
            for (size_t k = 0; k < f.len; k++)
                hash = (hash ^ f.payload[k]) * 1099511628211u;
        }
        *ret_end = rv;
    }
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
    uint64_t whole = run(data, size, size, &end_whole);
    uint64_t pieces = run(data, size, split < size ? split : size, &end_split);
    if (whole != pieces || end_whole != end_split)
        abort();
    return 0;
}
