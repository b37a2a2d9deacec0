/* SPDX-License-Identifier: Apache-2.0 */
/* recordings.c - see recordings.h. The lists come from processes that ran a guest: a pair that
 * makes no sense ends its list. */
#include "template/recordings.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "core/file.h"
#include "vmm_ctl.h"

#define RECORDING_MAX (1u << 20) /* bytes; the VMM writes 64 KiB at most */
#define RECORDING_RUN 8u         /* bytes: u32 first page, u32 pages */

struct recording_run {
    uint64_t first, end;
};

static bool recording_next(struct cursor *c, struct recording_run *r)
{
    if (c->left < RECORDING_RUN)
        return false;
    r->first = cursor_u32(c);
    r->end = r->first + cursor_u32(c);
    return r->end > r->first;
}

/* Appends the pages that both lists have. Both ascend. */
static void recording_common(struct buf *out, struct cursor a, struct cursor b)
{
    struct recording_run x, y;
    bool more = recording_next(&a, &x) && recording_next(&b, &y);
    while (more) {
        uint64_t first = MAX(x.first, y.first), end = MIN(x.end, y.end);
        if (first < end) {
            (void)buf_u32(out, (uint32_t)first);
            (void)buf_u32(out, (uint32_t)(end - first));
        }
        more = x.end < y.end ? recording_next(&a, &x) : recording_next(&b, &y);
    }
}

/* What `next` has touched, and the written pages of both. -EINVAL when one of them is no list. */
static int recording_join(struct buf *out, const struct buf *before, const struct buf *next)
{
    struct cursor a = cursor_on(before->data, before->len), b = cursor_on(next->data, next->len);
    const uint8_t *head = cursor_bytes(&b, CTL_WORKSET_HEAD);
    if (head == NULL || cursor_bytes(&a, CTL_WORKSET_HEAD) == NULL)
        return -EINVAL;
    (void)buf_append(out, head, CTL_WORKSET_HEAD);
    recording_common(out, a, b);
    return out->failed ? -ENOMEM : 0;
}

/* One more: `all` is empty, or those before it. */
static int recording_add(struct buf *all, const char *path)
{
    struct buf next = {0}, joined = {0};
    int rv = file_read(path, RECORDING_MAX, &next);
    if (rv == 0 && all->len > 0) {
        rv = recording_join(&joined, all, &next);
        buf_done(&next);
        next = joined;
    }
    buf_done(all);
    *all = next;
    return rv;
}

int template_recordings_join(const char *dir, const char *name, unsigned int n)
{
    cleanup_buf struct buf all = {0};
    char path[PATH_MAX];
    for (unsigned int i = 0; i < n; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s.%u", dir, name, i);
        int rv = recording_add(&all, path);
        if (rv < 0)
            return rv;
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return file_replace(path, all.data, all.len, 0600);
}
