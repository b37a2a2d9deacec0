/* SPDX-License-Identifier: Apache-2.0 */
#include "core/space.h"

#include <stddef.h>
#include <sys/statvfs.h>

bool space_is_low(const struct space *s, uint64_t *ret_free)
{
    for (size_t i = 0; s != NULL && i < SPACE_DIRS && s->reserve > 0; i++) {
        struct statvfs fs;
        if (s->dirs[i] == NULL || statvfs(s->dirs[i], &fs) < 0)
            continue;
        *ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
        /* Some file systems make inodes as they need them, and say 0. */
        if (*ret_free < s->reserve || (fs.f_files > 0 && fs.f_favail < SPACE_INODES))
            return true;
    }
    return false;
}
