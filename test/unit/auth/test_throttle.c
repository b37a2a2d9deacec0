/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/throttle.h"
#include "t.h"

static void slows_down_after_five(void)
{
    struct throttle t;
    uint64_t now = 1000000;
    throttle_init(&t);
    T_EQ(throttle_wait(&t, "user", "ann", now), 0);
    for (int i = 0; i < THROTTLE_FREE; i++) {
        T_EQ(throttle_wait(&t, "user", "ann", now), 0);
        throttle_count(&t, "user", "ann", now);
    }
    T_EQ(throttle_wait(&t, "user", "ann", now), THROTTLE_WAIT_MS);
    T_EQ(throttle_wait(&t, "user", "bob", now), 0);
    T_EQ(throttle_wait(&t, "address", "ann", now), 0);
    now += THROTTLE_WAIT_MS;
    T_EQ(throttle_wait(&t, "user", "ann", now), 0);
    throttle_count(&t, "user", "ann", now);
    T_EQ(throttle_wait(&t, "user", "ann", now), 2 * THROTTLE_WAIT_MS);
    throttle_done(&t);
}

static void waits_are_bounded_and_forgotten(void)
{
    struct throttle t;
    uint64_t now = 1000000;
    throttle_init(&t);
    for (int i = 0; i < 1000; i++)
        throttle_count(&t, "user", "ann", now);
    T_EQ(throttle_wait(&t, "user", "ann", now), THROTTLE_WAIT_MAX_MS);
    T_EQ(throttle_wait(&t, "user", "ann", now + THROTTLE_FORGET_MS + 1), 0);
    throttle_count(&t, "user", "ann", now + THROTTLE_FORGET_MS + 1);
    T_EQ(throttle_wait(&t, "user", "ann", now + THROTTLE_FORGET_MS + 1), 0);
    throttle_done(&t);
}

static void success_is_taken_back(void)
{
    struct throttle t;
    throttle_init(&t);
    for (int i = 0; i < 100; i++) {
        throttle_count(&t, "address", "::1", 5);
        throttle_forgive(&t, "address", "::1", false);
    }
    T_EQ(throttle_wait(&t, "address", "::1", 5), 0);
    for (int i = 0; i < THROTTLE_FREE; i++)
        throttle_count(&t, "address", "::1", 5);
    throttle_forgive(&t, "address", "::1", true);
    T_EQ(throttle_wait(&t, "address", "::1", 5), 0);
    throttle_forgive(&t, "address", "never seen", true);
    throttle_done(&t);
}

/* However many names are tried, memory stays what it is. */
static void a_flood_of_names(void)
{
    struct throttle t;
    char name[32];
    throttle_init(&t);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(name, sizeof(name), "name-%d", i);
        throttle_count(&t, "user", name, (uint64_t)i + 1);
    }
    for (int i = 0; i < THROTTLE_FREE; i++)
        throttle_count(&t, "user", "victim", 200000);
    T_TRUE(throttle_wait(&t, "user", "victim", 200000) > 0);
    throttle_done(&t);
}

T_MAIN(T_CASE(slows_down_after_five), T_CASE(waits_are_bounded_and_forgotten),
       T_CASE(success_is_taken_back), T_CASE(a_flood_of_names))
