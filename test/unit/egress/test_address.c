/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses in every disguise, and the floor under them. */
#include "egress/address.h"

#include "egress/floor.h"
#include "t.h"

static struct address read_it(const char *text)
{
    struct address a;
    if (address_read(text, &a) < 0)
        T_FAIL("%s is no address", text);
    return a;
}

static void texts_are_read(void)
{
    static const char *const bad[] = {"",          "1.2.3",  "1.2.3.4.5", "01.2.3.4", "0x7f.0.0.1",
                                      "1.2.3.256", "::1%lo", "[::1]",     "1.2.3.4 ", ":::"};
    struct address a;
    char text[ADDRESS_TEXT];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        T_TRUE(address_read(bad[i], &a) < 0);
    a = read_it("::ffff:93.184.216.34");
    T_TRUE(!a.v6);
    T_STR(address_print(&a, text), "93.184.216.34");
    a = read_it("2606:4700::1111");
    T_STR(address_print(&a, text), "2606:4700::1111");
}

static void inet_aton_reads_more(void)
{
    static const char *const same[] = {"127.0.0.1",  "127.1",        "0x7f.1",      "2130706433",
                                       "0x7f000001", "017700000001", "0177.0.0.01", "0X7F.0x1"};
    struct address local = read_it("127.0.0.1"), a;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        T_EQ(address_read_loose(same[i], &a), 0);
        T_TRUE(address_equal(&a, &local));
    }
    T_TRUE(address_read_loose("127.0.0.1 x", &a) < 0);
    T_TRUE(address_read_loose("1.2.3.4.5", &a) < 0);
    T_TRUE(address_read_loose("face.com", &a) < 0);
    T_TRUE(address_read_loose("", &a) < 0);
}

static void networks_hold_addresses(void)
{
    static const struct {
        const char *a, *net;
        unsigned int bits;
        bool in;
    } rows[] = {
        {"203.0.113.7", "203.0.113.0", 24, true},
        {"203.0.114.7", "203.0.113.0", 24, false},
        {"100.127.255.255", "100.64.0.0", 10, true},
        {"100.128.0.0", "100.64.0.0", 10, false},
        {"1.2.3.4", "0.0.0.0", 0, true},
        {"2001:db8::1", "0.0.0.0", 0, false},
        {"2001:db8::1", "2001:db8::", 32, true},
        {"2001:db9::1", "2001:db8::", 32, false},
        {"1.2.3.4", "1.2.3.4", 32, true},
        {"1.2.3.5", "1.2.3.4", 32, false},
        {"fe80::1", "fe80::1", 128, true},
        {"fe80::2", "fe80::1", 128, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address a = read_it(rows[i].a), net = read_it(rows[i].net);
        T_EQ(address_in(&a, &net, rows[i].bits), rows[i].in);
    }
}

static void disguises_are_taken_off(void)
{
    static const char *const rows[] = {"::10.1.2.3",         "::ffff:0:10.1.2.3",
                                       "64:ff9b::10.1.2.3",  "2002:a01:203::1",
                                       "2a00::5efe:a01:203", "2a00::200:5efe:a01:203"};
    struct address inner, want = read_it("10.1.2.3"), a;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        a = read_it(rows[i]);
        if (!address_unwrap(&a, &inner) || !address_equal(&inner, &want))
            T_FAIL("%s hides 10.1.2.3", rows[i]);
    }
    a = read_it("2606:4700::1111");
    T_TRUE(!address_unwrap(&a, &inner));
    T_TRUE(!address_unwrap(&want, &inner));
}

static void the_floor_holds(void)
{
    static const char *const special[] = {
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.255",
        "198.18.0.1",
        "198.19.255.255",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fc00::1",
        "fe80::1",
        "fec0::1",
        "feff::1",
        "ff02::1",
        "2001::1",
        "2001:db8::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "3fff::1",
        "5f00::1",
        "100::1",
        "64:ff9b:1::a00:1",
        "4000::1",
        "9000::1",
        "200::1",
        "::169.254.169.254",
        "::ffff:169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::",
        "2a00::5efe:a9fe:a9fe",
        "64:ff9b::100.100.100.200",
        "::ffff:168.63.129.16",
        "2002:c0a8:1::1",
    };
    static const char *const loopback[] = {
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
        "::ffff:0.0.0.0",
    };
    static const char *const open[] = {
        "1.1.1.1",           "8.8.8.8",          "93.184.216.34",   "9.255.255.255",
        "11.0.0.0",          "100.63.255.255",   "100.128.0.0",     "126.255.255.255",
        "128.0.0.1",         "168.63.129.15",    "168.63.129.17",   "169.253.255.255",
        "169.255.0.0",       "172.15.255.255",   "172.32.0.0",      "192.0.1.0",
        "192.167.0.1",       "192.169.0.1",      "198.17.0.1",      "198.20.0.1",
        "203.0.112.1",       "203.0.114.1",      "223.255.255.255", "2606:4700::1111",
        "2a00:1450:4001::1", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:200::1",
        "2001:db7::1",
    };
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        struct address a = read_it(special[i]);
        if (floor_of(&a) != FLOOR_SPECIAL)
            T_FAIL("%s is not special", special[i]);
    }
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
        struct address a = read_it(loopback[i]);
        if (floor_of(&a) != FLOOR_LOOPBACK)
            T_FAIL("%s is not loopback", loopback[i]);
    }
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        struct address a = read_it(open[i]);
        if (floor_of(&a) != FLOOR_NONE)
            T_FAIL("%s is not public", open[i]);
    }
}

T_MAIN(T_CASE(texts_are_read), T_CASE(inet_aton_reads_more), T_CASE(networks_hold_addresses),
       T_CASE(disguises_are_taken_off), T_CASE(the_floor_holds))
