/* SPDX-License-Identifier: Apache-2.0 */
/* A request of a sandbox, split at a point that the input chooses. What is sent on must itself be a
 * request that comes out unchanged: only then have both sides read the same one. */
#include <stdlib.h>
#include <string.h>

#include "egress/answer.h"
#include "egress/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct transform_list none = {.items = NULL};
static const struct rewrite_target target = {
    .name = "a.b", .port = 443, .tls = true, .transforms = &none};

static enum rewrite_step run(const char *data, size_t size, size_t split, struct buf *out)
{
    struct rewrite r = {.done = false};
    enum rewrite_step step = REWRITE_MORE;
    rewrite_reset(&r);
    for (size_t from = 0, to = split; from < size && step == REWRITE_MORE; from = to, to = size) {
        struct span in = {data + from, to - from};
        while (in.len > 0 && step == REWRITE_MORE)
            step = rewrite_next(&r, &target, &in, out);
    }
    rewrite_done(&r);
    return step;
}

/* What the rewriter adds may pass its own limits, by a field and a few bytes. */
static bool fits(const struct buf *out)
{
    const char *end = memmem(out->data, out->len, "\r\n\r\n", 4);
    size_t lines = 0, head = end != NULL ? (size_t)(end - (const char *)out->data) + 4 : out->len;
    for (size_t i = 0; i < head; i++)
        lines += out->data[i] == '\n';
    return lines <= REWRITE_FIELDS + 2 && head <= REWRITE_MAX_HEAD;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first = {0}, second = {0};
    struct answer a;
    if (size < 2)
        return 0;
    size_t split = (data[0] | (size_t)data[1] << 8) % (size - 1);
    const char *text = (const char *)data + 2;
    size -= 2;
    split = split <= size ? split : size;
    if (run(text, size, split, &first) == REWRITE_DONE && fits(&first)) {
        if (run((const char *)first.data, first.len, first.len, &second) != REWRITE_DONE)
            abort();
        /* Chunks of two pieces become one. */
        bool chunked = memmem(first.data, first.len, "chunked", 7) != NULL;
        if (!chunked &&
            (first.len != second.len || memcmp(first.data, second.data, first.len) != 0))
            abort();
    }
    buf_done(&first);
    buf_done(&second);
    answer_begin(&a, split % 2 != 0, split % 3 == 0);
    struct span in = {text, size};
    (void)answer_next(&a, &in);
    if (in.len > size)
        abort();
    (void)answer_end(&a);
    return 0;
}
