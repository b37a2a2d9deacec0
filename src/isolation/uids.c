/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/uids.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/base.h"

#define UIDS_FILE "uids"

static const struct {
    uint32_t first, count, step;
} uids_kinds[UIDS_KINDS] = {
    [UIDS_VM] = {UIDS_VM_FIRST, UIDS_VM_COUNT, 1},
    [UIDS_CONTAINER] = {UIDS_CONTAINER_FIRST, UIDS_CONTAINER_COUNT, UIDS_RANGE},
};

static_assert(UIDS_VM_FIRST + UIDS_VM_COUNT <= UIDS_CONTAINER_FIRST, "the kinds overlap");
static_assert(UIDS_CONTAINER_FIRST % UIDS_RANGE == 0, "ranges begin at multiples");
static_assert(UIDS_CONTAINER_FIRST + (uint64_t)UIDS_CONTAINER_COUNT * UIDS_RANGE <= INT32_MAX,
              "programs print ids as signed numbers");

void uids_open(struct uids *u, const char *state_dir, enum uids_kind kind)
{
    char path[PATH_MAX];
    *u = (struct uids){.kind = kind, .fd = -1, .next = (uint32_t)getpid()};
    if (snprintf(path, sizeof(path), "%s/" UIDS_FILE, state_dir) < (int)sizeof(path))
        u->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

void uids_close(struct uids *u)
{
    base_close_p(&u->fd);
}

static bool uids_mark(struct uids *u, uint32_t n, bool used)
{
    uint64_t bit = 1ull << (n % 64);
    bool was = (u->used[n / 64] & bit) != 0;
    u->used[n / 64] = used ? u->used[n / 64] | bit : u->used[n / 64] & ~bit;
    return was;
}

/* A number that no other process gets for a long time. */
static uint32_t uids_next(struct uids *u)
{
    uint32_t count = uids_kinds[u->kind].count, next = u->next++;
    const off_t at = (off_t)u->kind * (off_t)sizeof(next);
    if (u->fd < 0 || flock(u->fd, LOCK_EX) < 0)
        return next % count;
    if (pread(u->fd, &next, sizeof(next), at) != (ssize_t)sizeof(next))
        next = 0;
    uint32_t after = next + 1;
    if (pwrite(u->fd, &after, sizeof(after), at) != (ssize_t)sizeof(after))
        next = u->next; /* on a full disk: the order of this process alone */
    (void)flock(u->fd, LOCK_UN);
    return next % count;
}

uint32_t uids_take(struct uids *u)
{
    uint32_t count = uids_kinds[u->kind].count;
    uint32_t n = uids_next(u);
    for (uint32_t i = 0; i < count; i++, n = (n + 1) % count) {
        if (!uids_mark(u, n, true))
            return uids_kinds[u->kind].first + n * uids_kinds[u->kind].step;
    }
    return 0;
}

static void uids_set(struct uids *u, uint32_t first, bool used)
{
    uint32_t off = first - uids_kinds[u->kind].first, step = uids_kinds[u->kind].step;
    if (first >= uids_kinds[u->kind].first && off % step == 0 &&
        off / step < uids_kinds[u->kind].count)
        (void)uids_mark(u, off / step, used);
}

void uids_keep(struct uids *u, uint32_t first)
{
    uids_set(u, first, true);
}

void uids_drop(struct uids *u, uint32_t first)
{
    uids_set(u, first, false);
}
