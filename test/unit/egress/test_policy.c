/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the checks, and the holes that other sandboxes had. */
#include "egress/policy.h"

#include "t.h"

#define LIST(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

struct row {
    const char *what;
    const char *const *op_allow, *const *op_deny, *const *allow, *const *deny;
    enum egress_default otherwise;
    const char *name, *address; /* no address: policy_may_resolve */
    uint16_t port;
    bool own;
    enum egress_reason want;
};

static void judge(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        struct policy_operator op;
        struct policy p;
        struct address a;
        enum egress_reason got;
        T_EQ(policy_operator_read(&op, r->op_allow, r->op_deny, NULL), 0);
        T_EQ(policy_read(&p, r->allow, r->deny, NULL), 0);
        p.otherwise = r->otherwise;
        if (r->address != NULL) {
            T_EQ(address_read(r->address, &a), 0);
            struct rule_target t = {.name = r->name, .address = &a, .port = r->port};
            got = policy_check(&op, &p, &t, r->own);
        } else {
            got = policy_may_resolve(&op, &p, r->name);
        }
        if (got != r->want)
            T_FAIL("%s: %d, not %d", r->what, got, r->want);
        policy_done(&p);
        policy_operator_done(&op);
    }
}

static void the_order_of_checks(void)
{
    static const char *const pub = "93.184.216.34";
    const struct row rows[] = {
        {"public", .otherwise = EGRESS_PUBLIC, .name = "x.io", .address = pub, .port = 443},
        {"default deny", .otherwise = EGRESS_DENY, .name = "x.io", .address = pub, .port = 443,
         .want = EGRESS_BY_DEFAULT},
        {"deny", .deny = LIST("x.io"), .otherwise = EGRESS_PUBLIC, .name = "x.io", .address = pub,
         .port = 443, .want = EGRESS_BY_RULE},
        {"allow beats deny", .allow = LIST("x.io"), .deny = LIST("*"), .otherwise = EGRESS_DENY,
         .name = "x.io", .address = pub, .port = 443},
        {"operator's deny beats all", .op_allow = LIST("x.io:443"), .op_deny = LIST("x.io"),
         .allow = LIST("x.io"), .otherwise = EGRESS_PUBLIC, .name = "x.io", .address = pub,
         .port = 443, .want = EGRESS_BY_OPERATOR},
        {"operator's deny of an address", .op_deny = LIST("93.184.0.0/16"), .allow = LIST("*"),
         .otherwise = EGRESS_PUBLIC, .name = "x.io", .address = pub, .port = 443,
         .want = EGRESS_BY_OPERATOR},
        {"operator's deny of what is hidden", .op_deny = LIST("93.184.0.0/16"),
         .otherwise = EGRESS_PUBLIC, .name = "x.io", .address = "64:ff9b::93.184.216.34",
         .port = 443, .want = EGRESS_BY_OPERATOR},
        {"sandbox's deny of what is hidden", .deny = LIST("93.184.0.0/16"),
         .otherwise = EGRESS_PUBLIC, .name = "x.io", .address = "2002:5db8:d822::", .port = 443,
         .want = EGRESS_BY_RULE},
        {"deny on one port", .deny = LIST("93.184.216.34:80"), .otherwise = EGRESS_PUBLIC,
         .name = "", .address = pub, .port = 443},
        {"deny on this port", .deny = LIST("93.184.216.34:80"), .otherwise = EGRESS_PUBLIC,
         .name = "", .address = pub, .port = 80, .want = EGRESS_BY_RULE},
        {"a name's entry is for the name", .allow = LIST("x.io"), .otherwise = EGRESS_DENY,
         .name = "", .address = pub, .port = 443, .want = EGRESS_BY_DEFAULT},
        {"the operator's allow grants nothing", .op_allow = LIST("*"), .otherwise = EGRESS_DENY,
         .name = "x.io", .address = pub, .port = 443, .want = EGRESS_BY_DEFAULT},
    };
    judge(rows, sizeof(rows) / sizeof(rows[0]));
}

static void the_floor_and_who_lifts_it(void)
{
    const struct row rows[] = {
        {"tenant cannot lift", .allow = LIST("169.254.0.0/16", "*"), .otherwise = EGRESS_PUBLIC,
         .name = "", .address = "169.254.169.254", .port = 80, .want = EGRESS_BY_FLOOR},
        {"rebinding", .allow = LIST("x.io"), .otherwise = EGRESS_PUBLIC, .name = "x.io",
         .address = "10.0.0.1", .port = 80, .want = EGRESS_BY_FLOOR},
        {"operator lifts a network", .op_allow = LIST("203.0.113.0/24"), .otherwise = EGRESS_PUBLIC,
         .name = "mirror.example", .address = "203.0.113.5", .port = 443},
        {"operator lifts a name", .op_allow = LIST("mirror.example"), .otherwise = EGRESS_PUBLIC,
         .name = "mirror.example", .address = "203.0.113.5", .port = 443},
        {"on its port only", .op_allow = LIST("mirror.example:443"), .otherwise = EGRESS_PUBLIC,
         .name = "mirror.example", .address = "203.0.113.5", .port = 80, .want = EGRESS_BY_FLOOR},
        {"not for another name", .op_allow = LIST("mirror.example"), .otherwise = EGRESS_PUBLIC,
         .name = "evil.org", .address = "203.0.113.5", .port = 443, .want = EGRESS_BY_FLOOR},
        {"not in a disguise", .op_allow = LIST("203.0.113.0/24"), .otherwise = EGRESS_PUBLIC,
         .name = "x.io", .address = "64:ff9b::203.0.113.5", .port = 443, .want = EGRESS_BY_FLOOR},
        {"loopback by a network", .op_allow = LIST("127.0.0.0/8", "*", "127.0.0.1"),
         .otherwise = EGRESS_PUBLIC, .name = "", .address = "127.0.0.1", .port = 80,
         .want = EGRESS_BY_FLOOR},
        {"loopback by host and port", .op_allow = LIST("127.0.0.1:80"), .otherwise = EGRESS_PUBLIC,
         .name = "", .address = "127.0.0.1", .port = 80},
        {"loopback by name and port", .op_allow = LIST("mirror.lan:80"), .otherwise = EGRESS_PUBLIC,
         .name = "mirror.lan", .address = "127.0.0.1", .port = 80},
        {"an own public address", .otherwise = EGRESS_PUBLIC, .name = "", .own = true,
         .address = "93.184.216.34", .port = 80, .want = EGRESS_BY_FLOOR},
        {"an own address by a network", .op_allow = LIST("93.184.216.0/24"), .own = true,
         .otherwise = EGRESS_PUBLIC, .name = "", .address = "93.184.216.34", .port = 80,
         .want = EGRESS_BY_FLOOR},
        {"an own address by host and port", .op_allow = LIST("93.184.216.34:80"), .own = true,
         .otherwise = EGRESS_PUBLIC, .name = "", .address = "93.184.216.34", .port = 80},
        {"lifted, and then the sandbox's list", .op_allow = LIST("10.0.0.0/8"),
         .deny = LIST("10.0.0.0/8"), .otherwise = EGRESS_PUBLIC, .name = "", .address = "10.0.0.1",
         .port = 80, .want = EGRESS_BY_RULE},
        {"any port, lifted on one", .op_allow = LIST("x.io:443"), .otherwise = EGRESS_PUBLIC,
         .name = "x.io", .address = "10.0.0.1"},
    };
    judge(rows, sizeof(rows) / sizeof(rows[0]));
}

static void mail_needs_its_own_entry(void)
{
    static const char *const pub = "93.184.216.34";
    const struct row rows[] = {
        {"default", .otherwise = EGRESS_PUBLIC, .name = "", .address = pub, .port = 25,
         .want = EGRESS_BY_PORT},
        {"any port", .allow = LIST("*"), .otherwise = EGRESS_PUBLIC, .name = "", .address = pub,
         .port = 25, .want = EGRESS_BY_PORT},
        {"its port", .allow = LIST("*", "93.184.216.0/24:25"), .otherwise = EGRESS_DENY, .name = "",
         .address = pub, .port = 25},
        {"submission", .otherwise = EGRESS_PUBLIC, .name = "", .address = pub, .port = 587},
    };
    judge(rows, sizeof(rows) / sizeof(rows[0]));
}

static void names_that_leave_the_host(void)
{
    const struct row rows[] = {
        {"public", .otherwise = EGRESS_PUBLIC, .name = "x.io"},
        {"denied", .deny = LIST("*.evil.example"), .otherwise = EGRESS_PUBLIC,
         .name = "secret.evil.example", .want = EGRESS_BY_RULE},
        {"denied on a port", .deny = LIST("x.io:25"), .otherwise = EGRESS_PUBLIC, .name = "x.io"},
        {"all denied", .deny = LIST("0.0.0.0/0"), .otherwise = EGRESS_PUBLIC, .name = "x.io",
         .want = EGRESS_BY_RULE},
        {"nothing allowed", .otherwise = EGRESS_DENY, .name = "x.io", .want = EGRESS_BY_DEFAULT},
        {"allowed on a port", .allow = LIST("x.io:443"), .otherwise = EGRESS_DENY, .name = "x.io"},
        {"another is allowed", .allow = LIST("x.io"), .otherwise = EGRESS_DENY, .name = "y.io",
         .want = EGRESS_BY_DEFAULT},
        {"a network is no name", .allow = LIST("93.184.216.0/24"), .otherwise = EGRESS_DENY,
         .name = "x.io", .want = EGRESS_BY_DEFAULT},
        {"operator", .op_deny = LIST("*.corp"), .allow = LIST("*"), .otherwise = EGRESS_PUBLIC,
         .name = "db.corp", .want = EGRESS_BY_OPERATOR},
        {"subtree, not its root", .allow = LIST("*.x.io"), .otherwise = EGRESS_DENY, .name = "x.io",
         .want = EGRESS_BY_DEFAULT},
    };
    judge(rows, sizeof(rows) / sizeof(rows[0]));
}

static void nothing_is_allowed_by_zeroes(void)
{
    struct policy p = {.arena = {0}};
    struct policy_operator op = {.arena = {0}};
    T_EQ(policy_may_resolve(&op, &p, "x.io"), EGRESS_BY_DEFAULT);
}

static void a_bad_list_leaves_nothing(void)
{
    struct policy p;
    struct error err;
    T_TRUE(policy_read(&p, LIST("x.io"), LIST("not a host"), &err) < 0);
    T_TRUE(strstr(err.message, "not a host") != NULL);
    T_EQ(p.allow.count, 0);
    T_EQ(p.otherwise, EGRESS_DENY);
}

T_MAIN(T_CASE(the_order_of_checks), T_CASE(the_floor_and_who_lifts_it),
       T_CASE(mail_needs_its_own_entry), T_CASE(names_that_leave_the_host),
       T_CASE(nothing_is_allowed_by_zeroes), T_CASE(a_bad_list_leaves_nothing))
