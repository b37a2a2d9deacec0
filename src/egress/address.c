/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* IPv6 prefixes with an IPv4 address behind them. */
static const struct {
    uint8_t prefix[16];
    uint8_t bits;
    uint8_t at; /* offset of the IPv4 address */
} address_wraps[] = {
    {{0}, 96, 12},                                  /* ::a.b.c.d, compatible, RFC 4291 2.5.5.1 */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 12}, /* ::ffff:0:a.b.c.d, SIIT, RFC 2765 */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12},             /* 64:ff9b::a.b.c.d, NAT64, RFC 6052 */
    {{0x20, 0x02}, 16, 2},                          /* 2002:a.b.c.d::, 6to4, RFC 3056 */
};

static const uint8_t address_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct address address_from_bytes(bool v6, const void *bytes)
{
    struct address a = {.v6 = v6};
    if (v6 && memcmp(bytes, address_mapped, sizeof(address_mapped)) == 0) {
        a.v6 = false;
        memcpy(a.bytes, (const uint8_t *)bytes + sizeof(address_mapped), 4);
    } else {
        memcpy(a.bytes, bytes, v6 ? 16 : 4);
    }
    return a;
}

int address_read(const char *text, struct address *ret)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        *ret = address_from_bytes(false, bytes);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        *ret = address_from_bytes(true, bytes);
    else
        return -EINVAL;
    return 0;
}

int address_read_loose(const char *text, struct address *ret)
{
    struct in_addr in;
    /* inet_aton stops at white space and takes the rest for a comment. */
    if (text[strspn(text, "0123456789abcdefABCDEFxX.")] != '\0' || inet_aton(text, &in) == 0)
        return -EINVAL;
    *ret = address_from_bytes(false, &in);
    return 0;
}

const char *address_print(const struct address *a, char ret[ADDRESS_TEXT])
{
    return inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->bytes, ret, ADDRESS_TEXT);
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool address_in(const struct address *a, const struct address *net, unsigned int bits)
{
    size_t whole = bits / 8;
    if (a->v6 != net->v6 || memcmp(a->bytes, net->bytes, whole) != 0)
        return false;
    if (bits % 8 == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));
    return ((a->bytes[whole] ^ net->bytes[whole]) & mask) == 0;
}

/* An interface identifier of ISATAP, RFC 5214: 0000:5efe or 0200:5efe before the IPv4 address. */
static bool address_is_isatap(const struct address *a)
{
    return (a->bytes[8] & 0xfd) == 0 && a->bytes[9] == 0 && a->bytes[10] == 0x5e &&
           a->bytes[11] == 0xfe;
}

bool address_unwrap(const struct address *a, struct address *ret)
{
    if (!a->v6)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(address_wraps); i++) {
        struct address net = {.v6 = true};
        memcpy(net.bytes, address_wraps[i].prefix, sizeof(net.bytes));
        if (address_in(a, &net, address_wraps[i].bits)) {
            *ret = address_from_bytes(false, a->bytes + address_wraps[i].at);
            return true;
        }
    }
    if (!address_is_isatap(a))
        return false;
    *ret = address_from_bytes(false, a->bytes + 12);
    return true;
}

socklen_t address_sockaddr(const struct address *a, uint16_t port, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (a->v6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, a->bytes, 16);
        return sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    memcpy(&in->sin_addr, a->bytes, 4);
    return sizeof(*in);
}
