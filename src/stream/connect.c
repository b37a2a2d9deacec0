/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - see connect.h. */
#include "stream/connect.h"

#include <errno.h>
#include <string.h>

#include "base/jsonw.h"

#define CONNECT_LAST 2u /* the flag of the message that ends a stream */

ssize_t connect_message(const uint8_t *data, size_t len, size_t max, struct span *ret)
{
    if (len > 0 && data[0] != 0)
        return -EPROTO;
    if (len < CONNECT_HEAD)
        return 0;
    size_t n = (size_t)data[1] << 24 | (size_t)data[2] << 16 | (size_t)data[3] << 8 | data[4];
    if (n > max)
        return -EMSGSIZE;
    if (len - CONNECT_HEAD < n)
        return 0;
    *ret = (struct span){(const char *)data + CONNECT_HEAD, n};
    return (ssize_t)(CONNECT_HEAD + n);
}

int connect_only_message(const uint8_t *data, size_t len, size_t max, struct span *ret)
{
    ssize_t used = connect_message(data, len, max, ret);
    if (used < 0)
        return (int)used;
    return used > 0 && (size_t)used == len ? 0 : -EPROTO;
}

static size_t connect_begin_flags(struct buf *out, uint8_t flags)
{
    const uint8_t head[CONNECT_HEAD] = {flags};
    size_t start = out->len;
    (void)buf_append(out, head, sizeof(head));
    return start;
}

size_t connect_begin(struct buf *out)
{
    return connect_begin_flags(out, 0);
}

void connect_end(struct buf *out, size_t start)
{
    if (out->failed)
        return;
    size_t n = out->len - start - CONNECT_HEAD;
    for (unsigned int i = 0; i < 4; i++)
        out->data[start + 1 + i] = (uint8_t)(n >> (24 - 8 * i));
}

const char *connect_code(enum error_code code, int *status)
{
    static const struct {
        int status; /* of ours */
        const char *name;
        int http;
    } names[] = {
        {400, "invalid_argument", 400},   {401, "unauthenticated", 401},
        {403, "permission_denied", 403},  {404, "not_found", 404},
        {405, "unimplemented", 501},      {408, "deadline_exceeded", 504},
        {409, "already_exists", 409},     {410, "unavailable", 503},
        {413, "resource_exhausted", 429}, {416, "invalid_argument", 400},
        {429, "resource_exhausted", 429}, {501, "unimplemented", 501},
        {502, "unavailable", 503},        {503, "unavailable", 503},
    };
    int ours = code == ERROR_NO_SPACE ? 413 : error_status(code);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].status == ours) {
            *status = names[i].http;
            return names[i].name;
        }
    }
    *status = 500;
    return "internal";
}

void connect_write_error(struct buf *out, const struct error *err)
{
    int status;
    struct jsonw w = {.out = out};
    jsonw_object(&w);
    jsonw_key_str(&w, "code", connect_code(err->code, &status));
    jsonw_key_str(&w, "message", err->message);
    jsonw_object_end(&w);
}

void connect_end_stream(struct buf *out, const struct error *err)
{
    size_t start = connect_begin_flags(out, CONNECT_LAST);
    (void)buf_append_str(out, "{");
    if (err != NULL) {
        (void)buf_append_str(out, "\"error\":");
        connect_write_error(out, err);
    }
    (void)buf_append_str(out, "}");
    connect_end(out, start);
}
