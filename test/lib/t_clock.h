/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_clock.h - a clock that stands still unless the test turns its loop, for tests of time-outs.
 * While the machine does not run the test no time passes in it: neither in its server nor in its
 * clients. Include it before t_loop.h, in one file of the program.
 *
 * The monotonic clock of the whole program is this one, libuv's and the server's, too: a function
 * of the program takes the place of the library's.
 */
#ifndef CORRAL_T_CLOCK_H
#define CORRAL_T_CLOCK_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t t_clock_ns = 1000000000; /* since it began */

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, ret);
    ret->tv_sec = (time_t)(t_clock_ns / 1000000000);
    ret->tv_nsec = (long)(t_clock_ns % 1000000000);
    return 0;
}

/* A millisecond passes. The kernel has at least as long for what the test has sent. */
static inline void t_clock_tick(void)
{
    (void)usleep(1000);
    t_clock_ns += 1000000;
}

#define T_LOOP_PAUSE() t_clock_tick()

#endif
