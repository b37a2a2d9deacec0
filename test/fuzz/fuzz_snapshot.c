/* SPDX-License-Identifier: Apache-2.0 */
/* A record of a snapshot. What can be read is written again, and read and written the same. */
#include <stdlib.h>
#include <string.h>

#include "snapshot/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* True when it can be read; `out` is what is written then. */
static bool copy(const uint8_t *data, size_t size, struct buf *out)
{
    static const char id[] = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";
    struct snapshot sn = {.bytes = 0};
    bool readable = snapshot_decode(&sn, id, ID_SIZE - 1, data, size) == 0;
    if (readable)
        snapshot_encode(out, &sn);
    snapshot_free_strings(&sn);
    return readable;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buf struct buf first = {0}, second = {0};
    if (copy(data, size, &first) &&
        (!copy(first.data, first.len, &second) || first.len != second.len ||
         memcmp(first.data, second.data, first.len) != 0))
        abort();
    return 0;
}
