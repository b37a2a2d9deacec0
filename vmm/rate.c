/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate.c - a bucket that may go into debt.
 *
 * Tokens are taken after the fact, for what a request really was, so no request is too large to
 * ever be let through. Debt is paid at the same rate, and the average holds.
 */
#include "rate.h"

#define NS_PER_S 1000000000ull
/* Keeps every product below within 64 bits. */
#define RATE_MAX (1ull << 33)

void rate_init(struct rate *r, uint64_t per_second, uint64_t now_ns)
{
    r->per_second = MIN(per_second, RATE_MAX);
    r->tokens = (int64_t)r->per_second;
    r->last_ns = now_ns;
}

uint64_t rate_wait(struct rate *r, uint64_t now_ns)
{
    if (r->per_second == 0)
        return 0;
    uint64_t passed = MIN(now_ns - r->last_ns, NS_PER_S);
    uint64_t gained = passed * r->per_second / NS_PER_S;
    if (gained > 0) {
        r->tokens = MIN(r->tokens + (int64_t)gained, (int64_t)r->per_second);
        r->last_ns = now_ns;
    }
    if (r->tokens >= 0)
        return 0;
    uint64_t debt = MIN((uint64_t)-r->tokens, r->per_second);
    return MAX(debt * NS_PER_S / r->per_second, 1000000ull);
}

void rate_take(struct rate *r, uint64_t cost)
{
    if (r->per_second != 0)
        r->tokens -= (int64_t)MIN(cost, RATE_MAX);
}
