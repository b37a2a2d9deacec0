/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pressure.h - word from the kernel that programs wait for memory (pressure stall information).
 *
 * A trigger is a threshold that is written to /proc/pressure/memory: the descriptor is then ready
 * (POLLPRI) at most once a window in which tasks have waited for memory for that long. Linux:
 * Documentation/accounting/psi.rst.
 */
#ifndef CORRAL_CORE_PRESSURE_H
#define CORRAL_CORE_PRESSURE_H

#include <uv.h>

#define PRESSURE_MEMORY "/proc/pressure/memory"

struct pressure {
    uv_poll_t poll;
    void (*felt)(void *ctx);
    void *ctx;
};

/* A descriptor with a trigger, owned by the caller. A negative errno: the kernel has no such file
 * (it was built or booted without it), or it takes no trigger. */
int pressure_open(const char *path);
/* Calls `felt` whenever the descriptor has urgent news, for as long as the loop runs; it owns `fd`
 * from here on. 0, or a negative errno with the descriptor closed. */
int pressure_watch(struct pressure *p, uv_loop_t *loop, int fd, void (*felt)(void *ctx), void *ctx);

#endif
