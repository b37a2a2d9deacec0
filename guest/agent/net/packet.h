/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.h - IPv4 packets as they cross the TUN: reading, rewriting, and the few that the agent
 * makes itself. Pure functions on bytes.
 *
 * Addresses and ports are in host order everywhere.
 */
#ifndef CORRAL_AGENT_NET_PACKET_H
#define CORRAL_AGENT_NET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX     65535u
#define PACKET_REPLY   1500u /* room that a packet made here needs at most */
#define PACKET_SYN_MAX 120u  /* the longest headers of IPv4 and TCP */

#define PACKET_ICMP 1u
#define PACKET_TCP  6u
#define PACKET_UDP  17u

#define PACKET_FIN 0x01u
#define PACKET_SYN 0x02u
#define PACKET_RST 0x04u
#define PACKET_ACK 0x10u

enum packet_unreachable { /* codes of ICMP type 3 */
                          PACKET_NO_NET = 0,
                          PACKET_NO_HOST = 1,
                          PACKET_NO_PROTOCOL = 2,
                          PACKET_NO_PORT = 3,
                          PACKET_PROHIBITED = 13,
};

/* A view of one packet; the bytes belong to the caller. */
struct packet {
    uint8_t *ip;
    size_t len;     /* what the header says; never more than there is */
    size_t l4;      /* where the payload of IPv4 begins */
    size_t payload; /* where that of TCP or UDP begins */
    uint32_t src, dst;
    uint8_t protocol;
    uint8_t flags;         /* TCP */
    bool partial;          /* TCP, UDP: the checksum covers the pseudo header only, so far */
    uint16_t sport, dport; /* TCP, UDP */
    uint32_t seq, ack;     /* TCP */
};

/* 0, or -EINVAL for what is no whole IPv4 packet: truncated, a fragment, lengths that lie. Any
 * other protocol than TCP and UDP is a packet as well. */
int packet_parse(struct packet *p, uint8_t *ip, size_t len, bool partial);

/* TCP: changes both ends and corrects the checksums. */
void packet_readdress(struct packet *p, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport);
/* TCP: makes a partial checksum whole. */
void packet_complete(struct packet *p);

/* Answers, with whole checksums; their length, or 0 when `p` must not be answered. */
size_t packet_rst(const struct packet *p, uint8_t out[PACKET_REPLY]);
size_t packet_icmp(const struct packet *p, uint32_t from, enum packet_unreachable code,
                   uint8_t out[PACKET_REPLY]);
/* 0 when it does not fit. */
size_t packet_udp(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, const void *data,
                  size_t len, uint8_t out[PACKET_REPLY]);

#endif
