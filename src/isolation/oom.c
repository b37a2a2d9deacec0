/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oom.c - one file of /proc. A spawn returns after the exec, when the child has memory of its own:
 * the kernel gives processes that share memory the same score.
 */
#include "isolation/oom.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/base.h"

static bool oom_protected;

static bool oom_write(int score)
{
    char text[8];
    int len = snprintf(text, sizeof(text), "%d", score);
    cleanup_close int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, (size_t)len) == len;
}

void oom_protect_server(void)
{
    oom_protected = oom_write(OOM_SCORE_SERVER);
}

void oom_spawn_begin(int score)
{
    if (oom_protected)
        (void)oom_write(score);
}

void oom_spawn_end(void)
{
    if (oom_protected)
        (void)oom_write(OOM_SCORE_SERVER);
}
