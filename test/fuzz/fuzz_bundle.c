/* SPDX-License-Identifier: Apache-2.0 */
/* A record of a policy or a provider. What can be read is written again and read the same. */
#include <stdlib.h>
#include <string.h>

#include "auth/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bundle b = {.count = 0};
    cleanup_buf struct buf out = {0};
    if (bundle_decode(&b, data, size) == 0) {
        bundle_encode(&out, &b);
        if (out.len != size || memcmp(out.data, data, size) != 0)
            abort();
    }
    bundle_done(&b);
    return 0;
}
