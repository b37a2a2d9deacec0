/* SPDX-License-Identifier: Apache-2.0 */
/* A body in two feeds gives the same parts as in one. The first byte of the input is the cut. */
#include "http/multipart.h"

#include <string.h>

static int on_part(struct multipart *m, const char *name, const char *filename);
static int on_data(struct multipart *m, const uint8_t *data, size_t len);
static int on_part_end(struct multipart *m);

static const struct multipart_handler handler = {on_part, on_data, on_part_end};
static struct buf *out;

static int on_part(struct multipart *m, const char *name, const char *filename)
{
    (void)m;
    return buf_printf(out, "[%s|%s]", name, filename != NULL ? filename : "-");
}

static int on_data(struct multipart *m, const uint8_t *data, size_t len)
{
    (void)m;
    return buf_append(out, data, len);
}

static int on_part_end(struct multipart *m)
{
    (void)m;
    return buf_append(out, ";", 1);
}

static bool run(struct buf *b, const uint8_t *data, size_t len, size_t cut)
{
    struct multipart m;
    out = b;
    if (multipart_init(&m, "multipart/form-data; boundary=XX", &handler) < 0)
        abort();
    bool ok = multipart_feed(&m, data, cut) >= 0 &&
              multipart_feed(&m, data + cut, len - cut) >= 0 && multipart_complete(&m);
    multipart_done(&m);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct buf whole = {0}, parts = {0};
    size_t len = size - 1;
    bool a = run(&whole, data + 1, len, len);
    bool b = run(&parts, data + 1, len, len > 0 ? data[0] % len : 0);
    if (a != b || (a && (whole.len != parts.len ||
                         (whole.len > 0 && memcmp(whole.data, parts.data, whole.len) != 0))))
        abort();
    buf_done(&whole);
    buf_done(&parts);
    return 0;
}
