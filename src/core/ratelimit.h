/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ratelimit.h - limits the requests of a client per minute and per second.
 *
 * The minute is a fixed window that starts with a client's first request, so that the headers
 * X-RateLimit-Remaining and -Reset are exact; the second is a bucket that refills steadily. The
 * number of clients remembered is bounded: the one seen longest ago gives way.
 */
#ifndef CORRAL_CORE_RATELIMIT_H
#define CORRAL_CORE_RATELIMIT_H

#include <stdbool.h>

#include "base/base.h"

#define RATELIMIT_MAX_CLIENTS 4096

struct ratelimit;

struct ratelimit_answer {
    bool allowed;
    uint32_t limit, remaining; /* of the minute */
    int64_t reset_s;           /* wall clock: when the minute ends */
    uint32_t retry_after_s;    /* when not allowed: at least 1 */
};

/* NULL: out of memory. */
struct ratelimit *ratelimit_new(uint32_t per_minute, uint32_t per_second);
void ratelimit_free(struct ratelimit *r); /* NULL is fine */

/* Counts a request of `client` at `now_ms` (wall clock). */
struct ratelimit_answer ratelimit_take(struct ratelimit *r, const char *client, int64_t now_ms);

#endif
