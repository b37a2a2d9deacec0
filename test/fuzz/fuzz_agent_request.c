/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the bytes of a connection after the greeting. Everything the parser accepts must hold what
 * request.h promises. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct request *r)
{
    if (r->path != NULL && (r->path[0] == '\0' || strlen(r->path) > REQUEST_PATH_MAX))
        abort();
    for (size_t i = 0; r->env != NULL && r->env[i] != NULL; i++) {
        if (strchr(r->env[i], '=') == NULL || r->env[i][0] == '=')
            abort();
    }
    if (r->type == WIRE_EXEC && (r->argv == NULL || r->argv[0] == NULL || r->cwd == NULL))
        abort();
    if (r->key != NULL && (r->key[0] == '\0' || strlen(r->key) > WIRE_MAX_KEY))
        abort();
    if (r->keep > WIRE_MAX_KEEP)
        abort();
    if (r->entropy.len > REQUEST_ENTROPY_MAX || r->mode > 07777)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader reader = {.max_payload = WIRE_MAX_REQUEST};
    struct wire_frame frame;
    if (wire_reader_feed(&reader, data, size) == 0) {
        while (wire_reader_next(&reader, &frame) > 0) {
            cleanup_request struct request r = {0};
            const char *why = NULL;
            if (request_check_kept(&frame, &why) == -EINVAL && why == NULL)
                abort();
            if (request_parse(&frame, &r, &why) == 0)
                check(&r);
        }
    }
    wire_reader_done(&reader);
    return 0;
}
