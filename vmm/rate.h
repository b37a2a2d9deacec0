/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate.h - a token bucket. A request larger than the bucket passes when there is no debt; later
 * requests wait until the debt is paid.
 */
#ifndef CORRAL_VMM_RATE_H
#define CORRAL_VMM_RATE_H

#include "base/base.h"

struct rate {
    uint64_t per_second; /* tokens; 0: no limit */
    int64_t tokens;      /* negative: debt */
    uint64_t last_ns;    /* monotonic */
};

void rate_init(struct rate *r, uint64_t per_second, uint64_t now_ns);
/* 0 when the request may go now, otherwise nanoseconds until it is worth asking again. */
uint64_t rate_wait(struct rate *r, uint64_t now_ns);
void rate_take(struct rate *r, uint64_t cost);

#endif
