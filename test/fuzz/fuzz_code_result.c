/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox sends for a code run, as the server reads it: framing, frames, and the JSON made
 * of them, which must be JSON. */
#include "api/code_result.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader reader = {.max_payload = 4096};
    struct code_result result;
    struct wire_frame frame;
    struct buf out = {0};
    struct error err;
    code_result_init(&result, 4096);
    if (wire_reader_feed(&reader, data, size) == 0) {
        while (wire_reader_next(&reader, &frame) == 1) {
            if (code_result_add(&result, &frame) < 0)
                break;
        }
    }
    code_result_print(&result, &out, "e");
    json *parsed = json_parse(out.data, out.len, &err);
    /* The one thing that is JSON and that json_parse does not take. */
    if (parsed == NULL && strstr(buf_cstr(&out), "\\u0000") == NULL)
        abort();
    json_free_p(&parsed);
    buf_done(&out);
    code_result_done(&result);
    wire_reader_done(&reader);
    return 0;
}
