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
    bool command = r->type == WIRE_EXEC || r->type == WIRE_PROCESS_START;
    if (command && (r->argv == NULL || r->argv[0] == NULL || r->cwd == NULL || r->user == NULL))
        abort();
    if (r->key != NULL && (r->key[0] == '\0' || strlen(r->key) > WIRE_MAX_KEY))
        abort();
    if (r->keep > (r->type == WIRE_KEEP ? WIRE_MAX_KEEP : WIRE_PROCESS_RING))
        abort();
    if (r->entropy.len > REQUEST_ENTROPY_MAX || r->mode > 07777)
        abort();
}

static void check_process(const struct request *r)
{
    if (r->tag != NULL && strlen(r->tag) > WIRE_MAX_TAG)
        abort();
    if (r->type > WIRE_PROCESS_LIST && r->type <= WIRE_PROCESS_FORGET &&
        (r->tag == NULL || (r->id == 0 && r->pid == 0 && r->tag[0] == '\0')))
        abort();
    if (r->columns > REQUEST_WINDOW_MAX || r->rows > REQUEST_WINDOW_MAX)
        abort();
    if (r->type == WIRE_PROCESS_SIGNAL &&
        (r->signal == 0 || r->signal > REQUEST_SIGNAL_MAX || r->scope > WIRE_SCOPE_TREE))
        abort();
}

static void check_files(const struct request *r)
{
    if ((r->type == WIRE_MOVE || r->type == WIRE_COPY) && (r->to == NULL || r->to[0] == '\0'))
        abort();
    if (r->type == WIRE_CHOWN && (r->user == NULL || r->group == NULL))
        abort();
    if ((r->type == WIRE_FIND || r->type == WIRE_REPLACE) &&
        (r->pattern == NULL || r->pattern[0] == '\0' || r->glob == NULL ||
         strlen(r->pattern) > WIRE_MAX_PATTERN || strlen(r->glob) > WIRE_MAX_PATTERN))
        abort();
    if (r->type == WIRE_REPLACE && r->replacement == NULL)
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
            if (request_parse(&frame, &r, &why) == 0) {
                check(&r);
                check_process(&r);
                check_files(&r);
            }
        }
    }
    wire_reader_done(&reader);
    return 0;
}
