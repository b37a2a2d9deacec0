/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ratelimit.h"

#include "t.h"

#define START 1700000000000

static void a_second_and_a_minute(void)
{
    struct ratelimit *r = ratelimit_new(25, 10);
    struct ratelimit_answer a;
    for (uint32_t i = 0; i < 10; i++) {
        a = ratelimit_take(r, "key", START);
        T_TRUE(a.allowed);
        T_EQ(a.remaining, 24 - i);
    }
    a = ratelimit_take(r, "key", START);
    T_TRUE(!a.allowed);
    T_EQ(a.retry_after_s, 1);
    T_EQ(a.remaining, 15); /* a refused request costs nothing */
    T_TRUE(ratelimit_take(r, "key", START + 100).allowed);
    T_TRUE(!ratelimit_take(r, "key", START + 150).allowed);
    for (uint32_t i = 0; i < 10; i++)
        T_TRUE(ratelimit_take(r, "key", START + 5000).allowed);
    for (uint32_t i = 0; i < 4; i++)
        T_TRUE(ratelimit_take(r, "key", START + 10000).allowed);
    a = ratelimit_take(r, "key", START + 20500);
    T_TRUE(!a.allowed);
    T_EQ(a.remaining, 0);
    T_EQ(a.retry_after_s, 40);
    T_EQ(a.reset_s, START / 1000 + 60);
    T_TRUE(ratelimit_take(r, "key", START + 60000).allowed);
    ratelimit_free(r);
}

static void clients_do_not_share(void)
{
    struct ratelimit *r = ratelimit_new(1, 1);
    T_TRUE(ratelimit_take(r, "a", START).allowed);
    T_TRUE(!ratelimit_take(r, "a", START).allowed);
    T_TRUE(ratelimit_take(r, "b", START).allowed);
    ratelimit_free(r);
}

static void clocks_that_jump(void)
{
    struct ratelimit *r = ratelimit_new(2, 100);
    T_TRUE(ratelimit_take(r, "a", START).allowed);
    T_TRUE(ratelimit_take(r, "a", START).allowed);
    T_TRUE(!ratelimit_take(r, "a", START).allowed);
    T_TRUE(ratelimit_take(r, "a", START - 3600000).allowed);
    T_TRUE(ratelimit_take(r, "a", START + 3600000).allowed);
    ratelimit_free(r);
}

static void many_clients_are_bounded(void)
{
    struct ratelimit *r = ratelimit_new(1, 1);
    char name[32];
    T_TRUE(ratelimit_take(r, "first", START).allowed);
    for (int i = 0; i < RATELIMIT_MAX_CLIENTS - 1; i++) {
        snprintf(name, sizeof(name), "client%d", i);
        T_TRUE(ratelimit_take(r, name, START).allowed);
    }
    T_TRUE(!ratelimit_take(r, "first", START).allowed);
    T_TRUE(!ratelimit_take(r, "client1", START).allowed);
    T_TRUE(ratelimit_take(r, "one more", START).allowed); /* in place of client0 */
    T_TRUE(!ratelimit_take(r, "first", START).allowed);
    T_TRUE(ratelimit_take(r, "client0", START).allowed);
    ratelimit_free(r);
}

T_MAIN(T_CASE(a_second_and_a_minute), T_CASE(clients_do_not_share), T_CASE(clocks_that_jump),
       T_CASE(many_clients_are_bounded))
