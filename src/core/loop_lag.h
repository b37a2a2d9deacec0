/* SPDX-License-Identifier: Apache-2.0 */
/* loop_lag.h - how long the loop's turns take, which is how long a request waits before
 * the server reads it.
 */
#ifndef CORRAL_CORE_LOOP_LAG_H
#define CORRAL_CORE_LOOP_LAG_H

#include <uv.h>

/* Watches the loop from now on; does not keep it alive and does not wake it. */
void loop_lag_watch(uv_loop_t *loop);
/* Microseconds of the longest turn since the last call; milliseconds are told apart. */
uint64_t loop_lag_take(void);

#endif
