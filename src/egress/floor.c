/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/floor.h"

#define FLOOR_V4(a, b, c, d, bits, kind, reason)                                                   \
    {                                                                                              \
        {false, {a, b, c, d}}, bits, kind, reason                                                  \
    }
#define FLOOR_V6(bits, kind, reason, ...)                                                          \
    {                                                                                              \
        {true, {__VA_ARGS__}}, bits, kind, reason                                                  \
    }

struct floor_row {
    struct address net;
    unsigned int bits;
    enum floor_kind kind;
    const char *reason;
};

static const struct floor_row floor_rows[] = {
    FLOOR_V4(0, 0, 0, 0, 8, FLOOR_LOOPBACK, "this host, RFC 791; 0.0.0.0 connects to loopback"),
    FLOOR_V4(10, 0, 0, 0, 8, FLOOR_SPECIAL, "private, RFC 1918"),
    FLOOR_V4(100, 64, 0, 0, 10, FLOOR_SPECIAL,
             "shared by carriers, RFC 6598; holds Alibaba's"
             " metadata service 100.100.100.200"),
    FLOOR_V4(127, 0, 0, 0, 8, FLOOR_LOOPBACK, "loopback, RFC 1122"),
    FLOOR_V4(168, 63, 129, 16, 32, FLOOR_SPECIAL, "Azure's metadata and DNS, in a public range"),
    FLOOR_V4(169, 254, 0, 0, 16, FLOOR_SPECIAL, "link-local, RFC 3927; metadata of most clouds"),
    FLOOR_V4(172, 16, 0, 0, 12, FLOOR_SPECIAL, "private, RFC 1918"),
    FLOOR_V4(192, 0, 0, 0, 24, FLOOR_SPECIAL,
             "protocol assignments, RFC 6890; holds Oracle's"
             " metadata service 192.0.0.192"),
    FLOOR_V4(192, 0, 2, 0, 24, FLOOR_SPECIAL, "documentation, RFC 5737"),
    FLOOR_V4(192, 31, 196, 0, 24, FLOOR_SPECIAL, "AS112, RFC 7535"),
    FLOOR_V4(192, 52, 193, 0, 24, FLOOR_SPECIAL, "automatic multicast tunnels, RFC 7450"),
    FLOOR_V4(192, 88, 99, 0, 24, FLOOR_SPECIAL, "6to4 relays, RFC 7526"),
    FLOOR_V4(192, 168, 0, 0, 16, FLOOR_SPECIAL, "private, RFC 1918"),
    FLOOR_V4(192, 175, 48, 0, 24, FLOOR_SPECIAL, "AS112, RFC 7534"),
    FLOOR_V4(198, 18, 0, 0, 15, FLOOR_SPECIAL, "benchmarks, RFC 2544; names in sandboxes"),
    FLOOR_V4(198, 51, 100, 0, 24, FLOOR_SPECIAL, "documentation, RFC 5737"),
    FLOOR_V4(203, 0, 113, 0, 24, FLOOR_SPECIAL, "documentation, RFC 5737"),
    FLOOR_V4(224, 0, 0, 0, 4, FLOOR_SPECIAL, "multicast, RFC 5771"),
    FLOOR_V4(240, 0, 0, 0, 4, FLOOR_SPECIAL, "reserved, RFC 1112; broadcast, RFC 919"),

    FLOOR_V6(128, FLOOR_LOOPBACK, "unspecified, RFC 4291; connects to loopback", 0),
    FLOOR_V6(128, FLOOR_LOOPBACK, "loopback, RFC 4291", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
             1),
    FLOOR_V6(48, FLOOR_SPECIAL, "local translation, RFC 8215", 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01),
    FLOOR_V6(64, FLOOR_SPECIAL, "discard, RFC 6666", 0x01, 0x00),
    FLOOR_V6(23, FLOOR_SPECIAL, "protocol assignments, RFC 2928; Teredo, RFC 4380", 0x20, 0x01),
    FLOOR_V6(32, FLOOR_SPECIAL, "documentation, RFC 3849", 0x20, 0x01, 0x0d, 0xb8),
    FLOOR_V6(48, FLOOR_SPECIAL, "AS112, RFC 7534", 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00),
    FLOOR_V6(20, FLOOR_SPECIAL, "documentation, RFC 9637", 0x3f, 0xff),
    FLOOR_V6(16, FLOOR_SPECIAL, "segment routing, RFC 9602", 0x5f, 0x00),
    FLOOR_V6(7, FLOOR_SPECIAL, "unique local, RFC 4193; metadata fd00:ec2::254, fd20:ce::254",
             0xfc),
    FLOOR_V6(10, FLOOR_SPECIAL, "link-local, RFC 4291", 0xfe, 0x80),
    FLOOR_V6(10, FLOOR_SPECIAL, "site-local, RFC 3879", 0xfe, 0xc0),
    FLOOR_V6(8, FLOOR_SPECIAL, "multicast, RFC 4291", 0xff),
    /* What is outside of 2000::/3, but for NAT64's prefix in ::/8. */
    FLOOR_V6(8, FLOOR_SPECIAL, "reserved, RFC 4291", 0x01),
    FLOOR_V6(7, FLOOR_SPECIAL, "reserved, RFC 4291", 0x02),
    FLOOR_V6(6, FLOOR_SPECIAL, "reserved, RFC 4291", 0x04),
    FLOOR_V6(5, FLOOR_SPECIAL, "reserved, RFC 4291", 0x08),
    FLOOR_V6(4, FLOOR_SPECIAL, "reserved, RFC 4291", 0x10),
    FLOOR_V6(2, FLOOR_SPECIAL, "reserved, RFC 4291", 0x40),
    FLOOR_V6(1, FLOOR_SPECIAL, "reserved, RFC 4291", 0x80),
};

static enum floor_kind floor_look(const struct address *a)
{
    for (size_t i = 0; i < ARRAY_SIZE(floor_rows); i++)
        if (address_in(a, &floor_rows[i].net, floor_rows[i].bits))
            return floor_rows[i].kind;
    return FLOOR_NONE;
}

enum floor_kind floor_of(const struct address *a)
{
    struct address inner;
    enum floor_kind kind = floor_look(a);
    if (kind == FLOOR_NONE && address_unwrap(a, &inner))
        kind = floor_look(&inner);
    return kind;
}
