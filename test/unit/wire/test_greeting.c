/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/greeting.h"

#include <errno.h>

#include "t.h"

static void the_line(void)
{
    char out[WIRE_GREETING_SIZE];
    T_EQ(wire_greeting_print(out, 1024), 13);
    T_STR(out, "CONNECT 1024\n");
    T_EQ(wire_greeting_print(out, UINT32_MAX), 19);
    T_STR(out, "CONNECT 4294967295\n");
}

/* Cut at every byte; what stands behind it is left alone. */
static void an_answer_in_two_pieces(void)
{
    static const char answer[] = "OK 4294967295\nrest";
    for (size_t cut = 0; cut < 14; cut++) {
        struct wire_greeting g = {0};
        T_EQ(wire_greeting_feed(&g, answer, cut), (ssize_t)cut);
        T_TRUE(!g.done);
        T_EQ(wire_greeting_feed(&g, answer + cut, sizeof(answer) - 1 - cut), (ssize_t)(14 - cut));
        T_TRUE(g.done);
        T_EQ(wire_greeting_feed(&g, "x", 1), 0);
    }
}

/* Refused at the first byte that cannot be there, without waiting for an end. */
static void other_answers(void)
{
    static const struct {
        const char *text;
        size_t good; /* bytes before the wrong one */
    } cases[] = {
        {"NO 1\n", 0}, {"OK\n", 2},     {"OK \n", 3},           {"OK 1 \n", 4},
        {"OK x\n", 3}, {"OK 1\r\n", 4}, {"OK 42949672951", 13}, {"OK  1\n", 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire_greeting g = {0};
        T_EQ(wire_greeting_feed(&g, cases[i].text, cases[i].good), (ssize_t)cases[i].good);
        T_TRUE(!g.done);
        T_EQ(wire_greeting_feed(&g, cases[i].text + cases[i].good, 1), -EPROTO);
    }
}

T_MAIN(T_CASE(the_line), T_CASE(an_answer_in_two_pieces), T_CASE(other_answers))
