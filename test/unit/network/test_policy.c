/* SPDX-License-Identifier: Apache-2.0 */
#include "network/policy.h"

#include <string.h>

#include "t.h"

static const char *print(const struct network_policy *p, struct buf *out)
{
    struct jsonw w = {.out = out};
    network_policy_print(&w, p, EGRESS_PUBLIC);
    return buf_cstr(out);
}

static void nothing_said(void)
{
    struct network_policy p;
    struct buf text = {0};
    T_EQ(network_policy_parse("{}", &p, NULL), 0);
    T_EQ(p.otherwise, 0);
    T_STR(print(&p, &text),
          "{\"default\":\"public\",\"allow\":[],\"deny\":[],\"transforms\":[],\"proxy\":null,"
          "\"log\":\"denied\",\"limits\":{\"flows\":512,\"new_names_per_min\":600,"
          "\"bytes_per_s\":0}}");
    buf_done(&text);
    network_policy_done(&p);
}

static void objects_become_entries(void)
{
    struct network_policy p;
    T_EQ(network_policy_parse(
             "{\"default\":\"deny\",\"allow\":[{\"host\":\"db.x.io\",\"ports\":[1,2]}"
             ",{\"host\":\"2001:db8::/32\",\"ports\":[443]},{\"host\":\"a.b\"}],"
             "\"deny\":[\"198.51.100.0/24:25\"]}",
             &p, NULL),
         0);
    T_EQ(p.otherwise, EGRESS_DENY);
    T_EQ(p.allow.count, 4);
    T_STR(p.allow.items[0], "db.x.io:1");
    T_STR(p.allow.items[1], "db.x.io:2");
    T_STR(p.allow.items[2], "[2001:db8::]/32:443");
    T_STR(p.allow.items[3], "a.b");
    T_STR(p.deny.items[0], "198.51.100.0/24:25");
    network_policy_done(&p);
}

static void faults_are_named(void)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"{\"alow\":[]}", "alow"},
        {"{\"default\":\"open\"}", "open"},
        {"{\"allow\":\"x.io\"}", "allow"},
        {"{\"allow\":[7]}", "allow"},
        {"{\"deny\":[\"10.0.0.1/8\"]}", "10.0.0.1/8"},
        {"{\"allow\":[{\"host\":\"x.io\",\"ports\":[0]}]}", "x.io"},
        {"{\"allow\":[{\"host\":\"x.io\",\"port\":80}]}", "port"},
        {"{\"limits\":{\"flows\":513}}", "flows"},
        {"{\"limits\":{\"flow\":1}}", "flow"},
        {"{\"transforms\":[{\"host\":\"x\"}]}", "headers"},
        {"{\"proxy\":{\"address\":\"x\"}}", "proxy"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct network_policy p;
        struct error err = {0};
        T_TRUE(network_policy_parse(rows[i].text, &p, &err) < 0);
        T_EQ(err.code, ERROR_INVALID_ARGUMENT);
        T_TRUE(strstr(err.message, rows[i].part) != NULL);
    }
}

static void too_much(void)
{
    struct buf text = {0};
    struct network_policy p;
    struct error err = {0};
    (void)buf_append_str(&text, "{\"allow\":[\"a.b\"");
    for (unsigned int i = 0; i < EGRESS_MAX_RULES; i++)
        (void)buf_append_str(&text, ",\"a.b\"");
    (void)buf_append_str(&text, "]}");
    T_TRUE(network_policy_parse(buf_cstr(&text), &p, &err) < 0);
    T_TRUE(strstr(err.message, "1024") != NULL);
    buf_done(&text);
}

static void options_split(void)
{
    struct network_rules l;
    T_EQ(network_rules_split("a.b:1, 10.0.0.0/8,,", &l, NULL), 0);
    T_EQ(l.count, 2);
    T_STR(l.items[1], "10.0.0.0/8");
    network_rules_done(&l);
    T_EQ(network_rules_split("", &l, NULL), 0);
    T_EQ(l.count, 0);
}

T_MAIN(T_CASE(nothing_said), T_CASE(objects_become_entries), T_CASE(faults_are_named),
       T_CASE(too_much), T_CASE(options_split))
