/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"
#include "t.h"

/* The encoding of a code point, or none (0) for what has none. */
static size_t encode(uint32_t cp, uint8_t out[4])
{
    if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        return 0;
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    out[0] = (uint8_t)((0xf00 >> n) | cp);
    return n;
}

static void every_character_is_valid(void)
{
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        uint8_t s[4];
        bool truncated;
        size_t n = encode(cp, s);
        if (n == 0)
            continue;
        T_EQ(utf8_char(s, n, &truncated), n);
        T_TRUE(!truncated && utf8_valid(s, n));
        for (size_t cut = 1; cut < n; cut++) {
            T_EQ(utf8_char(s, cut, &truncated), 0);
            T_TRUE(truncated);
        }
    }
}

/* All three-byte strings: exactly the encodings are accepted. */
static void nothing_else_is(void)
{
    size_t valid3 = 0, valid2 = 0;
    for (uint32_t v = 0; v < 0x1000000; v++) {
        uint8_t s[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        bool truncated;
        size_t n = utf8_char(s, 3, &truncated);
        valid3 += n == 3;
        valid2 += n == 2;
    }
    T_EQ(valid3, 0x10000 - 0x800 - 0x800);
    T_EQ(valid2, (0x800 - 0x80) * 256);
}

static void bad_strings(void)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80",
        "\xff",
        "a\xc3",
        "\xe2\x82z",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        T_TRUE(!utf8_valid((const uint8_t *)bad[i], strlen(bad[i])));
    T_TRUE(utf8_valid((const uint8_t *)"", 0));
    T_TRUE(utf8_valid(NULL, 0));
}

/* A byte that can never continue is an error at once, not a truncation to wait for. */
static void truncation_needs_a_valid_start(void)
{
    bool truncated;
    T_EQ(utf8_char((const uint8_t *)"\xe0\x80", 2, &truncated), 0);
    T_TRUE(!truncated);
    T_EQ(utf8_char((const uint8_t *)"\xe0\xa0", 2, &truncated), 0);
    T_TRUE(truncated);
    T_EQ(utf8_char((const uint8_t *)"", 0, &truncated), 0);
    T_TRUE(!truncated);
}

static void tails(void)
{
    static const struct {
        const char *text;
        size_t tail;
    } cases[] = {{"", 0},
                 {"a", 0},
                 {"a\xc3", 1},
                 {"\xc3\xbc", 0},
                 {"\xe2\x82", 2},
                 {"\xe2\x82\xac", 0},
                 {"x\xf0\x9f\x8e", 3},
                 {"\xff", 0},
                 {"\x80", 0},
                 {"\xc3\xff", 0},
                 {"\xf0\x9f\x8e\x89\xe2", 1}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        T_EQ(utf8_tail((const uint8_t *)cases[i].text, strlen(cases[i].text)), cases[i].tail);
}

T_MAIN(T_CASE(tails), T_CASE(every_character_is_valid), T_CASE(nothing_else_is),
       T_CASE(bad_strings), T_CASE(truncation_needs_a_valid_start))
