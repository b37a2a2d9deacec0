/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_loop.h - a libuv loop for tests: runs until a condition holds, fails when it takes too long,
 * and fails when a handle is left at the end.
 *
 *   uv_loop_t loop;
 *   t_loop_open(&loop);
 *   T_UNTIL(&loop, done);
 *   t_loop_close(&loop);
 */
#ifndef CORRAL_T_LOOP_H
#define CORRAL_T_LOOP_H

#include <signal.h>
#include <uv.h>

#include "t.h"

#define T_LOOP_CAP_MS 10000

#ifndef T_LOOP_PAUSE /* t_clock.h has another */
#define T_LOOP_PAUSE() uv_sleep(1)
#endif

static inline void t_loop_open(uv_loop_t *loop)
{
    (void)signal(SIGPIPE, SIG_IGN);
    T_EQ(uv_loop_init(loop), 0);
}

/* One turn of the loop that waits a millisecond at most. */
static inline void t_loop_turn(uv_loop_t *loop)
{
    if (uv_run(loop, UV_RUN_NOWAIT) == 0 || uv_backend_timeout(loop) != 0)
        T_LOOP_PAUSE();
}

#define T_UNTIL(loop, condition)                                                                   \
    do {                                                                                           \
        uint64_t end_ = uv_hrtime() + T_LOOP_CAP_MS * 1000000ull;                                  \
        while (!(condition)) {                                                                     \
            t_loop_turn(loop);                                                                     \
            if (uv_hrtime() > end_)                                                                \
                T_FAIL("waited %d ms for: %s", T_LOOP_CAP_MS, #condition);                         \
        }                                                                                          \
    } while (0)

static inline void t_loop_run_ms(uv_loop_t *loop, unsigned int ms)
{
    uint64_t end = uv_hrtime() + ms * 1000000ull;
    while (uv_hrtime() < end)
        t_loop_turn(loop);
}

static inline void t_loop_report(uv_handle_t *handle, void *arg)
{
    (void)arg;
    fprintf(stderr, "left over: %s handle %p%s\n", uv_handle_type_name(handle->type),
            (void *)handle, uv_is_closing(handle) ? ", closing" : "");
}

/* Lets close callbacks run, then demands that nothing is left. */
static inline void t_loop_close(uv_loop_t *loop)
{
    for (int i = 0; i < 10; i++)
        (void)uv_run(loop, UV_RUN_NOWAIT);
    uv_walk(loop, t_loop_report, NULL);
    T_EQ(uv_loop_close(loop), 0);
}

#endif
