/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - IPv4 and IPv6 addresses as values, and what is hidden in them.
 *
 * An IPv4 address has several IPv6 spellings. The mapped one, ::ffff:a.b.c.d, is the IPv4 address
 * itself to every socket call, so address_from_bytes makes it that. The others are addresses of
 * their own that some router or tunnel turns into the IPv4 address on the way: the floor and deny
 * lists look at what is hidden as well (address_unwrap), allow lists at the address alone.
 */
#ifndef CORRAL_EGRESS_ADDRESS_H
#define CORRAL_EGRESS_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/base.h"

#define ADDRESS_TEXT 46 /* INET6_ADDRSTRLEN */

struct address {
    bool v6;
    uint8_t bytes[16]; /* in network order; the first 4 for IPv4, the rest zero */
};

struct address address_from_bytes(bool v6, const void *bytes);
/* The canonical texts of both families, without brackets or a zone. 0 or -EINVAL. */
int address_read(const char *text, struct address *ret);
/* What inet_aton accepts, which is more: "0x7f.1", "2130706433", "017700000001". */
int address_read_loose(const char *text, struct address *ret);
const char *address_print(const struct address *a, char ret[ADDRESS_TEXT]);

bool address_equal(const struct address *a, const struct address *b);
/* Whether the first `bits` bits are those of `net`, which is of the same family. */
bool address_in(const struct address *a, const struct address *net, unsigned int bits);
/* The IPv4 address that an IPv6 address carries to a translator or a tunnel, if it carries one. */
bool address_unwrap(const struct address *a, struct address *ret);
socklen_t address_sockaddr(const struct address *a, uint16_t port, struct sockaddr_storage *ret);

#endif
