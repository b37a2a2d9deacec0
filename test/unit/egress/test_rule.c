/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of lists: what they mean, and the errors that name them. */
#include "egress/rule.h"

#include "egress_ctl.h"
#include "t.h"

static bool covers(const char *rule, const char *name, const char *address)
{
    struct arena arena = {0};
    struct rule r;
    struct address a;
    struct error err;
    if (rule_read(rule, &arena, &r, &err) < 0)
        T_FAIL("%s: %s", rule, err.message);
    struct rule_target t = {.name = name};
    if (address != NULL) {
        T_EQ(address_read(address, &a), 0);
        t.address = &a;
    }
    bool yes = rule_covers(&r, &t);
    arena_done(&arena);
    return yes;
}

static void entries_cover_what_they_say(void)
{
    static const struct {
        const char *rule, *name, *address;
        bool yes;
    } rows[] = {
        {"*", "x.io", NULL, true},
        {"*", "", "1.2.3.4", true},
        {"0.0.0.0/0", "x.io", NULL, true},
        {"x.io", "x.io", NULL, true},
        {"X.IO.", "x.io", NULL, true},
        {"x.io", "a.x.io", NULL, false},
        {"*.x.io", "a.x.io", NULL, true},
        {"*.x.io", "b.a.x.io", NULL, true},
        {"*.x.io", "x.io", NULL, false},
        {"*.x.io", "evilx.io", NULL, false},
        {"*.X.io.", "a.x.io", NULL, true},
        {"x.io", "", "1.2.3.4", false},
        {"1.2.3.4", "", "1.2.3.4", true},
        {"1.2.3.4", "x.io", "1.2.3.4", true},
        {"1.2.3.4", "x.io", NULL, false},
        {"203.0.113.0/24", "", "203.0.113.9", true},
        {"203.0.113.0/24", "", "203.0.112.9", false},
        {"2606:4700::/32", "", "2606:4700::1", true},
        {"[2606:4700::]/32", "", "2606:4700::1", true},
        {"[2606:4700::1]:443", "", "2606:4700::1", true},
        {"::ffff:1.2.3.4", "", "1.2.3.4", true},
        {"::/0", "", "1.2.3.4", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (covers(rows[i].rule, rows[i].name, rows[i].address) != rows[i].yes)
            T_FAIL("%s and %s: not %d", rows[i].rule, rows[i].name, rows[i].yes);
}

static void ports_are_cut_off(void)
{
    static const struct {
        const char *rule;
        uint16_t port;
        bool exact;
    } rows[] = {
        {"x.io:443", 443, true},
        {"x.io", 0, false},
        {"*.x.io:443", 443, false},
        {"*:25", 25, false},
        {"1.2.3.4:25", 25, true},
        {"1.2.3.4/32:25", 25, true},
        {"1.2.3.0/24:25", 25, false},
        {"[::1]:8080", 8080, true},
        {"::1", 0, false},
        {"[2a00::]/16:65535", 65535, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena = {0};
        struct rule r;
        T_EQ(rule_read(rows[i].rule, &arena, &r, NULL), 0);
        T_EQ(r.port, rows[i].port);
        T_EQ(rule_is_exact(&r), rows[i].exact);
        arena_done(&arena);
    }
}

static void bad_entries_are_named(void)
{
    static const char *const rows[] = {
        "",
        "x.io:",
        "x.io:0",
        "x.io:65536",
        "x.io:-1",
        "x.io: 1",
        "*x.io",
        "a.*.io",
        "**",
        "*.",
        "*.*",
        "1.2.3.4/33",
        "1.2.3.4/",
        "1.2.3.4/x",
        "1.2.3.4/24",
        "::1/129",
        "[::1",
        "::1]",
        "[x.io]",
        "[1.2.3.4]",
        "0x7f.1",
        "2130706433",
        "127.1",
        "x.io/24",
        "http://x.io",
        "x.io/path",
        "a b",
        "[::1]x",
        "1.2.3.4:80/24",
    };
    struct error err;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena = {0};
        struct rule r;
        if (rule_read(rows[i], &arena, &r, &err) == 0)
            T_FAIL("\"%s\" is taken", rows[i]);
        T_EQ(err.code, ERROR_INVALID_ARGUMENT);
        T_TRUE(rows[i][0] == '\0' || strstr(err.message, rows[i]) != NULL);
        arena_done(&arena);
    }
}

static void lists_are_bounded(void)
{
    const char *texts[EGRESS_MAX_RULES + 2];
    struct arena arena = {0};
    struct rule_list list;
    struct error err;
    for (size_t i = 0; i < EGRESS_MAX_RULES + 1; i++)
        texts[i] = "x.io";
    texts[EGRESS_MAX_RULES + 1] = NULL;
    T_TRUE(rule_list_read(texts, &arena, &list, &err) < 0);
    texts[EGRESS_MAX_RULES] = NULL;
    T_EQ(rule_list_read(texts, &arena, &list, &err), 0);
    T_EQ(list.count, EGRESS_MAX_RULES);
    T_EQ(rule_list_read(NULL, &arena, &list, &err), 0);
    T_EQ(list.count, 0);
    arena_done(&arena);
}

T_MAIN(T_CASE(entries_cover_what_they_say), T_CASE(ports_are_cut_off),
       T_CASE(bad_entries_are_named), T_CASE(lists_are_bounded))
