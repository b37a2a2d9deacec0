/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/num.h"
#include "t.h"

static void reads(void)
{
    static const struct {
        const char *text;
        int64_t min, max;
        int rv;
        int64_t value;
    } cases[] = {
        {"0", 0, 10, 0, 0},
        {"10", 0, 10, 0, 10},
        {"-3", -5, 5, 0, -3},
        {"007", 0, 10, 0, 7},
        {"9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX},
        {"-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN},
        {"9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"99999999999999999999999999", 0, INT64_MAX, -ERANGE, 0},
        {"11", 0, 10, -ERANGE, 0},
        {"-1", 0, 10, -ERANGE, 0},
        {"", 0, 10, -EINVAL, 0},
        {"-", -10, 10, -EINVAL, 0},
        {"--1", -10, 10, -EINVAL, 0},
        {"+1", 0, 10, -EINVAL, 0},
        {" 1", 0, 10, -EINVAL, 0},
        {"1 ", 0, 10, -EINVAL, 0},
        {"1x", 0, 10, -EINVAL, 0},
        {"0x1", 0, 10, -EINVAL, 0},
        {"1.0", 0, 10, -EINVAL, 0},
        {"1e1", 0, 10, -EINVAL, 0},
        {"NaN", 0, 10, -EINVAL, 0},
        {"\xd9\xa1", 0, 10, -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t v = 4711;
        T_EQ(num_parse(cases[i].text, cases[i].min, cases[i].max, &v), cases[i].rv);
        T_EQ(v, cases[i].rv == 0 ? cases[i].value : 4711);
    }
}

T_MAIN(T_CASE(reads))
