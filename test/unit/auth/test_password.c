/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/password.h"

#include <errno.h>

#include "t.h"

#define CHEAP 10 /* rounds, for tests */

static void only_the_right_one_matches(void)
{
    struct password p, q;
    T_EQ(password_make(&p, "correct horse", CHEAP), 0);
    T_EQ(password_make(&q, "correct horse", CHEAP), 0);
    T_TRUE(memcmp(p.hash, q.hash, sizeof(p.hash)) != 0);
    T_TRUE(password_matches(&p, "correct horse"));
    T_TRUE(!password_matches(&p, "correct horsf"));
    T_TRUE(!password_matches(&p, ""));
    p.cost++;
    T_TRUE(!password_matches(&p, "correct horse"));
}

/* PBKDF2-HMAC-SHA-512 of "password", the salt "saltsaltsaltsalt" and 1000 rounds, as Python's
 * hashlib has it. */
static void agrees_with_another_implementation(void)
{
    static const uint8_t first[] = {
        0xef, 0x5e, 0x6b, 0xa8, 0x8a, 0xf9, 0x75, 0x73, 0x95, 0x3e, 0x90, 0x61, 0xaa,
        0xab, 0x2e, 0x82, 0x5d, 0x37, 0xef, 0x34, 0xf9, 0x6d, 0x62, 0x53, 0x59, 0x89,
        0x99, 0xb4, 0x87, 0x0a, 0xf2, 0x10, 0x67, 0x8a, 0xc2, 0xa9, 0xc1, 0xf6, 0x3b,
        0x92, 0x89, 0x2f, 0xc2, 0x30, 0xeb, 0x34, 0x7a, 0x87, 0x84, 0x5e, 0x74, 0x3d,
        0xbe, 0xcc, 0x0f, 0xa1, 0xef, 0x90, 0x9c, 0x22, 0x0d, 0x0c, 0x38, 0xc3};
    struct password p = {.cost = 1000};
    memcpy(p.salt, "saltsaltsaltsalt", sizeof(p.salt));
    memcpy(p.hash, first, sizeof(p.hash));
    T_TRUE(password_matches(&p, "password"));
}

struct waiting {
    struct password_check check;
    int *done;
};

static void on_done(struct password_check *c)
{
    struct waiting *w = container_of(c, struct waiting, check);
    (*w->done)++;
}

static void the_queue_is_bounded(void)
{
    static struct waiting w[PASSWORD_RUNNING + PASSWORD_WAITING + 1];
    struct password_queue q;
    int done = 0, n = 0;
    password_queue_init(&q, uv_default_loop());
    for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
        w[i].done = &done;
        T_EQ(password_make(&w[i].check.password, "right", CHEAP), 0);
        int rv = password_check_start(&q, &w[i].check, i % 2 == 0 ? "right" : "wrong", on_done);
        T_EQ(rv, i < PASSWORD_RUNNING + PASSWORD_WAITING ? 0 : -EAGAIN);
        n += rv == 0;
    }
    T_EQ(done, 0);
    T_TRUE(q.running <= PASSWORD_RUNNING);
    T_EQ(uv_run(uv_default_loop(), UV_RUN_DEFAULT), 0);
    T_EQ(done, n);
    for (int i = 0; i < n; i++)
        T_EQ(w[i].check.matches, i % 2 == 0);
    T_EQ(uv_loop_close(uv_default_loop()), 0);
}

static void cheap_hashes_are_renewed(void)
{
    static struct waiting w;
    struct password_queue q;
    uv_loop_t loop;
    int done = 0;
    T_EQ(uv_loop_init(&loop), 0);
    password_queue_init(&q, &loop);
    w = (struct waiting){.done = &done, .check.renew = true};
    T_EQ(password_make(&w.check.password, "right", CHEAP), 0);
    T_EQ(password_check_start(&q, &w.check, "right", on_done), 0);
    T_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
    T_TRUE(w.check.matches && w.check.renewed);
    T_EQ(w.check.password.cost, PASSWORD_COST);
    T_TRUE(password_matches(&w.check.password, "right"));
    T_EQ(uv_loop_close(&loop), 0);
}

T_MAIN(T_CASE(only_the_right_one_matches), T_CASE(agrees_with_another_implementation),
       T_CASE(the_queue_is_bounded), T_CASE(cheap_hashes_are_renewed))
