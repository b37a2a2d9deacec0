/* SPDX-License-Identifier: Apache-2.0 */
/* A record of a snapshot. What can be read is written again and read the same. */
#include <stdlib.h>
#include <string.h>

#include "snapshot/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char id[] = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";
    struct snapshot sn = {.bytes = 0};
    cleanup_buf struct buf out = {0};
    if (snapshot_decode(&sn, id, ID_SIZE - 1, data, size) == 0) {
        snapshot_encode(&out, &sn);
        if (out.len != size || memcmp(out.data, data, size) != 0)
            abort();
    }
    free(sn.account);
    free(sn.name);
    free(sn.template_name);
    free(sn.driver);
    return 0;
}
