/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b/filter.h"

#include "t.h"

static bool matches(const char *form, const char *metadata)
{
    json *pairs = e2b_filter_parse(form);
    T_TRUE(pairs != NULL);
    bool is = e2b_filter_matches(pairs, metadata);
    json_free_p(&pairs);
    return is;
}

static void pairs(void)
{
    /* As the query's own decoding leaves them: of JavaScript, of Python. */
    T_TRUE(matches("a=b%2520c%252Fd", "{\"a\":\"b c/d\",\"x\":\"y\"}"));
    T_TRUE(matches("a=b+c%252Fd", "{\"a\":\"b c/d\"}"));
    T_TRUE(matches("a=1%252B2&%25C3%25BC=%253D%2526", "{\"a\":\"1+2\",\"\xc3\xbc\":\"=&\"}"));
    T_TRUE(matches("a=", "{\"a\":\"\"}"));
    T_TRUE(!matches("a=1&b=2", "{\"a\":\"1\"}"));
    T_TRUE(!matches("a=1", "{\"a\":1}"));
    T_TRUE(!matches("a=1", "{}"));
    T_TRUE(e2b_filter_matches(NULL, "{}"));
}

static void broken(void)
{
    static const char *const bad[] = {"a=%zz", "a=%",     "a=%2", "%25zz=1",
                                      "a=%00", "a=%2500", "a=%FF"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (e2b_filter_parse(bad[i]) != NULL)
            T_FAIL("taken: %s", bad[i]);
    }
}

static void states(void)
{
    T_TRUE(e2b_filter_state(NULL, "running"));
    T_TRUE(e2b_filter_state("", "running"));
    T_TRUE(e2b_filter_state("running", "running"));
    T_TRUE(e2b_filter_state("paused,running", "running"));
    T_TRUE(!e2b_filter_state("paused", "running"));
    T_TRUE(!e2b_filter_state("runnings,run", "running"));
    T_TRUE(e2b_filter_state("running,paused", "paused"));
    T_TRUE(!e2b_filter_state("running", "paused"));
}

T_MAIN(T_CASE(pairs), T_CASE(broken), T_CASE(states))
