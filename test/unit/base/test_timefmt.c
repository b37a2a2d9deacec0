/* SPDX-License-Identifier: Apache-2.0 */
#include "t.h"
#include "base/timefmt.h"

static void formats(void)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1761222600000, "2025-10-23T12:30:00Z"},
        {1761222600123, "2025-10-23T12:30:00.123Z"},
        {1761222600007, "2025-10-23T12:30:00.007Z"},
        {951782400000, "2000-02-29T00:00:00Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        /* What has no four-digit year reads as the epoch. */
        {253402300800000, "1970-01-01T00:00:00Z"},
        {INT64_MAX, "1970-01-01T00:00:00Z"},
        {INT64_MIN, "1970-01-01T00:00:00Z"},
        {-62167219200000, "0000-01-01T00:00:00Z"},
        {-62167219200001, "1970-01-01T00:00:00Z"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char out[TIMEFMT_SIZE];
        T_STR(timefmt_rfc3339(out, cases[i].ms), cases[i].text);
    }
}

static void now(void)
{
    int64_t a = time_now_ms();
    T_TRUE(a > 1700000000000 && a < 4000000000000);
    T_TRUE(time_now_ms() >= a - 1000);
}

T_MAIN(T_CASE(formats), T_CASE(now))
