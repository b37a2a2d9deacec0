/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a body one after another: each lies inside of it, and they give the same in a buffer
 * of their own. */
#include <string.h>

#include "base/json.h"
#include "stream/connect.h"

#define FUZZ_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text, only;
    size_t at = 0;
    ssize_t n;
    while ((n = connect_message(data + at, size - at, FUZZ_MAX, &text)) > 0) {
        if (text.len + CONNECT_HEAD != (size_t)n || (size_t)n > size - at || text.len > FUZZ_MAX ||
            (const uint8_t *)text.data != data + at + CONNECT_HEAD)
            abort();
        if (connect_only_message(data + at, (size_t)n, FUZZ_MAX, &only) != 0 ||
            only.len != text.len)
            abort();
        json *message = json_parse_object(text.data, text.len, NULL);
        json_free_p(&message);
        at += (size_t)n;
    }
    cleanup_buf struct buf out = {0};
    size_t start = connect_begin(&out);
    (void)buf_append(&out, data, MIN(size, (size_t)FUZZ_MAX));
    connect_end(&out, start);
    if (connect_only_message(out.data, out.len, FUZZ_MAX, &text) != 0 ||
        text.len != MIN(size, (size_t)FUZZ_MAX))
        abort();
    return 0;
}
