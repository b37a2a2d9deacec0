/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte of the input says which fields to read from the rest, in which order. What was
 * read in full is written again and must give the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_field(unsigned int kind, struct cursor *c, struct buf *out)
{
    char text[16];
    uint8_t bytes[5];
    if (kind == 0) {
        record_bool(out, record_get_bool(c));
    } else if (kind == 1) {
        record_i64(out, record_get_i64(c));
    } else if (kind == 2) {
        char *s = record_get_str(c);
        record_str(out, s);
        free(s);
    } else if (kind == 3) {
        record_get_text(c, text, sizeof(text));
        record_str(out, text);
    } else if (kind == 4) {
        char **list = record_get_list(c);
        record_list(out, (const char *const *)list);
        free(list);
    } else {
        record_get_bytes(c, bytes, sizeof(bytes));
        record_bytes(out, bytes, sizeof(bytes));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c;
    cleanup_buf struct buf out = {0};
    if (size < 4)
        return 0;
    unsigned int plan = (unsigned int)(data[0] | data[1] << 8);
    int version = record_open(&c, data + 2, size - 2, 3);
    if (version < 0)
        return 0;
    record_begin(&out, (uint8_t)version);
    for (int i = 0; i < 6; i++) {
        copy_field(plan % 6, &c, &out);
        plan /= 6;
    }
    if (record_end(&c) == 0 && (out.len != size - 2 || memcmp(out.data, data + 2, out.len) != 0))
        abort();
    return 0;
}
