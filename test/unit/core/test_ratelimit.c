/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ratelimit.h"

#include <errno.h>

#include "t.h"

#define START 1700000000000

static void a_second_and_a_minute(void)
{
    struct ratelimit *r = ratelimit_new();
    const struct rate_limits rate = {true, 25, 10};
    struct ratelimit_answer a;
    for (uint32_t i = 0; i < 10; i++) {
        a = ratelimit_take(r, "key", &rate, START);
        T_TRUE(a.allowed);
        T_EQ(a.remaining, 24 - i);
    }
    a = ratelimit_take(r, "key", &rate, START);
    T_TRUE(!a.allowed);
    T_EQ(a.retry_after_s, 1);
    T_EQ(a.remaining, 15); /* a refused request costs nothing */
    T_TRUE(ratelimit_take(r, "key", &rate, START + 100).allowed);
    T_TRUE(!ratelimit_take(r, "key", &rate, START + 150).allowed);
    for (uint32_t i = 0; i < 10; i++)
        T_TRUE(ratelimit_take(r, "key", &rate, START + 5000).allowed);
    for (uint32_t i = 0; i < 4; i++)
        T_TRUE(ratelimit_take(r, "key", &rate, START + 10000).allowed);
    a = ratelimit_take(r, "key", &rate, START + 20500);
    T_TRUE(!a.allowed);
    T_EQ(a.remaining, 0);
    T_EQ(a.retry_after_s, 40);
    T_EQ(a.reset_s, START / 1000 + 60);
    T_TRUE(ratelimit_take(r, "key", &rate, START + 60000).allowed);
    ratelimit_free(r);
}

static void clients_do_not_share(void)
{
    struct ratelimit *r = ratelimit_new();
    const struct rate_limits rate = {true, 1, 1};
    T_TRUE(ratelimit_take(r, "a", &rate, START).allowed);
    T_TRUE(!ratelimit_take(r, "a", &rate, START).allowed);
    T_TRUE(ratelimit_take(r, "b", &rate, START).allowed);
    ratelimit_free(r);
}

static void clocks_that_jump(void)
{
    struct ratelimit *r = ratelimit_new();
    const struct rate_limits rate = {true, 2, 100};
    T_TRUE(ratelimit_take(r, "a", &rate, START).allowed);
    T_TRUE(ratelimit_take(r, "a", &rate, START).allowed);
    T_TRUE(!ratelimit_take(r, "a", &rate, START).allowed);
    T_TRUE(ratelimit_take(r, "a", &rate, START - 3600000).allowed);
    T_TRUE(ratelimit_take(r, "a", &rate, START + 3600000).allowed);
    ratelimit_free(r);
}

static void many_clients_are_bounded(void)
{
    struct ratelimit *r = ratelimit_new();
    const struct rate_limits rate = {true, 1, 1};
    char name[32];
    T_TRUE(ratelimit_take(r, "first", &rate, START).allowed);
    for (int i = 0; i < RATELIMIT_MAX_CLIENTS - 1; i++) {
        snprintf(name, sizeof(name), "client%d", i);
        T_TRUE(ratelimit_take(r, name, &rate, START).allowed);
    }
    T_TRUE(!ratelimit_take(r, "first", &rate, START).allowed);
    T_TRUE(!ratelimit_take(r, "client1", &rate, START).allowed);
    T_TRUE(ratelimit_take(r, "one more", &rate, START).allowed); /* in place of client0 */
    T_TRUE(!ratelimit_take(r, "first", &rate, START).allowed);
    T_TRUE(ratelimit_take(r, "client0", &rate, START).allowed);
    ratelimit_free(r);
}

static void a_rate_may_lack_one_part(void)
{
    struct ratelimit *r = ratelimit_new();
    const struct rate_limits minute = {true, 20, 0}, second = {true, 0, 5};
    for (int i = 0; i < 20; i++)
        T_TRUE(ratelimit_take(r, "a", &minute, START).allowed);
    T_TRUE(!ratelimit_take(r, "a", &minute, START).allowed);
    for (int i = 0; i < 1000; i++)
        T_TRUE(ratelimit_take(r, "b", &second, START + i * 200).allowed);
    T_EQ(ratelimit_take(r, "b", &second, START + 300000).limit, 0);
    ratelimit_free(r);
}

static void texts(void)
{
    static const char *const good[] = {"off", "100/min,10/s", "7/min", "3/s"};
    static const char *const bad[] = {"", "0/s", "1/h", "1/s,2/s", "1/min;", "1000001/min", "on"};
    char text[RATELIMIT_TEXT_SIZE];
    struct rate_limits rate;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        T_EQ(ratelimit_parse(good[i], &rate), 0);
        T_STR(ratelimit_print(&rate, text), good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        T_EQ(ratelimit_parse(bad[i], &rate), -EINVAL);
}

T_MAIN(T_CASE(a_rate_may_lack_one_part), T_CASE(texts), T_CASE(a_second_and_a_minute),
       T_CASE(clients_do_not_share), T_CASE(clocks_that_jump), T_CASE(many_clients_are_bounded))
