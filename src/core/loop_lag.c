/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop_lag.h"

/* libuv takes the time when poll returns, runs the callbacks of sockets, and then the check
 * handles: the difference is what the last of those callbacks had to wait. */
static uv_check_t lag_check;
static uint64_t lag_longest_ms;

static void loop_lag_after_poll(uv_check_t *check)
{
    uint64_t turn_ms = uv_hrtime() / 1000000 - uv_now(check->loop);
    if (turn_ms > lag_longest_ms)
        lag_longest_ms = turn_ms;
}

void loop_lag_watch(uv_loop_t *loop)
{
    uv_check_init(loop, &lag_check);
    uv_check_start(&lag_check, loop_lag_after_poll);
    uv_unref((uv_handle_t *)&lag_check);
}

uint64_t loop_lag_take(void)
{
    uint64_t us = lag_longest_ms * 1000;
    lag_longest_ms = 0;
    return us;
}
