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
#define RATELIMIT_MAX         1000000 /* of both numbers of a rate */
#define RATELIMIT_TEXT_SIZE   32

struct rate_limits {
    bool enabled;
    uint32_t per_minute; /* 0: no such limit */
    uint32_t per_second; /* burst; 0: no such limit */
};

/* "100/min,10/s", one of both, or "off". 0 or -EINVAL. */
int ratelimit_parse(const char *text, struct rate_limits *ret);
/* The text that parses to it. */
const char *ratelimit_print(const struct rate_limits *rate, char ret[RATELIMIT_TEXT_SIZE]);

struct ratelimit;

struct ratelimit_answer {
    bool allowed;
    uint32_t limit, remaining; /* of the minute; 0: it has no limit */
    int64_t reset_s;           /* wall clock: when the minute ends */
    uint32_t retry_after_s;    /* when not allowed: at least 1 */
};

/* NULL: out of memory. */
struct ratelimit *ratelimit_new(void);
void ratelimit_free(struct ratelimit *r); /* NULL is fine */

/* Counts a request of `client`, whose rate is enabled, at `now_ms` (wall clock). */
struct ratelimit_answer ratelimit_take(struct ratelimit *r, const char *client,
                                       const struct rate_limits *rate, int64_t now_ms);

#endif
