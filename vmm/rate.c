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
#define RATE_MAX  (1ull << 33)
#define RATE_DEBT (1LL << 62) /* most that is remembered */

/*@ predicate rate_ok(struct rate *r) =
  @     \valid(r) && r->per_second <= RATE_MAX && -RATE_DEBT <= r->tokens <= r->per_second;
  @*/

/*@ requires \valid(r);
  @ assigns *r;
  @ ensures ok: rate_ok(r);
  @*/
void rate_init(struct rate *r, uint64_t per_second, uint64_t now_ns)
{
    r->per_second = MIN(per_second, RATE_MAX);
    r->tokens = (int64_t)r->per_second;
    r->last_ns = now_ns;
}

/*@ requires rate_ok(r);
  @ assigns r->tokens, r->last_ns;
  @ ensures ok: rate_ok(r);
  @ ensures gain: \old(r->tokens) <= r->tokens <= \old(r->tokens) + r->per_second;
  @ ensures free: \result == 0 ==> r->per_second == 0 || r->tokens >= 0;
  @ ensures held: \result != 0 ==> r->tokens < 0 && 1000000 <= \result <= 1000000000;
  @*/
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

/*@ requires rate_ok(r);
  @ assigns r->tokens;
  @ ensures ok: rate_ok(r);
  @ ensures taken: r->per_second != 0 && cost > 0 && \old(r->tokens) > -RATE_DEBT ==>
  @     r->tokens < \old(r->tokens);
  @*/
void rate_take(struct rate *r, uint64_t cost)
{
    if (r->per_second != 0)
        r->tokens = MAX(r->tokens - (int64_t)MIN(cost, RATE_MAX), -RATE_DEBT);
}
