/* SPDX-License-Identifier: Apache-2.0 */
/* Host names: one spelling each, and nothing else is a name. */
#include "egress/name.h"

#include "t.h"

#define LABEL_63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static void names_have_one_spelling(void)
{
    static const char *const rows[][2] = {
        {"example.com", "example.com"},
        {"Example.COM", "example.com"},
        {"example.com.", "example.com"},
        {"a", "a"},
        {"_dmarc.x-y.io", "_dmarc.x-y.io"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa"},
        {"0x7f.com", "0x7f.com"},
        {"3com", "3com"},
        {"1e100.net", "1e100.net"},
        {LABEL_63 ".x", LABEL_63 ".x"},
        {"0xzz", "0xzz"},
    };
    char name[NAME_SIZE];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        T_EQ(name_read(rows[i][0], strlen(rows[i][0]), name), 0);
        T_STR(name, rows[i][1]);
    }
}

static void the_rest_is_refused(void)
{
    static const char *const rows[] = {
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a..",
        "a b",
        "a/b",
        "a:1",
        "[::1]",
        "::1",
        "a,b",
        "b\xc3\xbc",
        "*",
        "*.a",
        "a\nb",
        LABEL_63 "g.x",
        /* Addresses, and what a program may take for one. */
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0",
        "0x",
        "1.2.3.4.5",
        "4294967296",
        "256.1.1.1",
        "127.0.0.1.",
        "a.1",
        "a.0x1",
        "0X7F.1",
    };
    char name[NAME_SIZE];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (name_read(rows[i], strlen(rows[i]), name) == 0)
            T_FAIL("%s is taken for a name", rows[i]);
    T_TRUE(name_read("evil.com\0.good.com", 18, name) < 0);
}

static void lengths_are_bounded(void)
{
    char text[300], name[NAME_SIZE];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 2 == 0 ? 'a' : '.';
    T_EQ(name_read(text, 253, name), 0);
    T_EQ(name_read(text, 254, name), 0); /* the last byte is the trailing dot */
    T_TRUE(name_read(text, 255, name) < 0);
    T_TRUE(name_read(text, 300, name) < 0);
}

static void below_means_whole_labels(void)
{
    T_TRUE(name_below("a.example.com", "example.com"));
    T_TRUE(name_below("c.b.a.example.com", "example.com"));
    T_TRUE(!name_below("example.com", "example.com"));
    T_TRUE(!name_below("evilexample.com", "example.com"));
    T_TRUE(!name_below("com", "example.com"));
    T_TRUE(!name_below("a.example.com.evil", "example.com"));
    T_TRUE(!name_below("", "example.com"));
}

T_MAIN(T_CASE(names_have_one_spelling), T_CASE(the_rest_is_refused), T_CASE(lengths_are_bounded),
       T_CASE(below_means_whole_labels))
