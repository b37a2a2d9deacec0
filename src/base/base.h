/* SPDX-License-Identifier: Apache-2.0 */
/* base.h - the handful of macros every file may use: cleanup attributes, ownership transfer,
 * container_of. */
#ifndef CORRAL_BASE_BASE_H
#define CORRAL_BASE_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/param.h> /* MIN, MAX; libuv includes it too */
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Locals that release themselves: `cleanup_free char *s = NULL;`. Hand the value on with TAKE_PTR
 * or TAKE_FD. */
#define cleanup_free  __attribute__((cleanup(base_free_p)))
#define cleanup_close __attribute__((cleanup(base_close_p)))

static inline void base_free_p(void *p)
{
    free(*(void **)p);
}

static inline void base_close_p(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int taken_ = (fd);                                                                         \
        (fd) = -1;                                                                                 \
        taken_;                                                                                    \
    })

#endif
