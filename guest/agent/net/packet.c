/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.c - every length is compared before it is used in arithmetic, and fields are read and
 * written byte by byte, so no packet's alignment matters.
 *
 * Theory of operation of checksums. A checksum is the complement of a one's complement sum. When a
 * 16-bit word m of what it covers becomes m', the sum changes by ~m + m' (RFC 1624). A packet that
 * the kernel has just made carries the sum of the pseudo header alone, not complemented: it changes
 * with the addresses and does not know the ports.
 */
#include "agent/net/packet.h"

#include <errno.h>
#include <string.h>

#define IP_MIN       20u
#define TCP_MIN      20u
#define UDP_HEADER   8u
#define ICMP_HEADER  8u
#define ICMP_ERROR   3u
#define ICMP_ECHO    8u
#define IP_TTL       64u
#define IP_FRAGMENT  0x3fffu /* more fragments, and the offset */
#define IP_DONT_FRAG 0x4000u
#define QUOTED_MAX   548u /* RFC 1812: an ICMP error has at most 576 bytes */

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static uint16_t fold(uint64_t sum)
{
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint64_t sum_bytes(const uint8_t *p, size_t len)
{
    uint64_t sum = 0;
    for (; len >= 2; p += 2, len -= 2)
        sum += get16(p);
    return len > 0 ? sum + ((uint64_t)p[0] << 8) : sum;
}

static uint64_t sum32(uint32_t v)
{
    return (v >> 16) + (v & 0xffff);
}

static int parse_ports(struct packet *p, size_t header)
{
    if (p->len - p->l4 < header)
        return -EINVAL;
    p->sport = get16(p->ip + p->l4);
    p->dport = get16(p->ip + p->l4 + 2);
    return 0;
}

static int parse_tcp(struct packet *p)
{
    const uint8_t *tcp = p->ip + p->l4;
    if (parse_ports(p, TCP_MIN) < 0)
        return -EINVAL;
    size_t header = (size_t)(tcp[12] >> 4) * 4;
    if (header < TCP_MIN || header > p->len - p->l4)
        return -EINVAL;
    p->seq = get32(tcp + 4);
    p->ack = get32(tcp + 8);
    p->flags = tcp[13];
    p->payload = p->l4 + header;
    return 0;
}

static int parse_udp(struct packet *p)
{
    if (parse_ports(p, UDP_HEADER) < 0)
        return -EINVAL;
    size_t len = get16(p->ip + p->l4 + 4);
    if (len < UDP_HEADER || len > p->len - p->l4)
        return -EINVAL;
    p->len = p->l4 + len;
    p->payload = p->l4 + UDP_HEADER;
    return 0;
}

int packet_parse(struct packet *p, uint8_t *ip, size_t len, bool partial)
{
    *p = (struct packet){.ip = ip, .partial = partial};
    if (len < IP_MIN || ip[0] >> 4 != 4)
        return -EINVAL;
    p->l4 = (size_t)(ip[0] & 0x0f) * 4;
    p->len = get16(ip + 2);
    if (p->l4 < IP_MIN || p->len < p->l4 || p->len > len || (get16(ip + 6) & IP_FRAGMENT) != 0)
        return -EINVAL;
    p->payload = p->len;
    p->protocol = ip[9];
    p->src = get32(ip + 12);
    p->dst = get32(ip + 16);
    if (p->protocol == PACKET_TCP)
        return parse_tcp(p);
    if (p->protocol == PACKET_UDP)
        return parse_udp(p);
    return 0;
}

/* The change of a sum by the addresses. */
static uint64_t address_change(const struct packet *p, uint32_t src, uint32_t dst)
{
    return sum32(~p->src) + sum32(src) + sum32(~p->dst) + sum32(dst);
}

static void correct(uint8_t *field, uint64_t change)
{
    put16(field, (uint16_t)~fold((uint16_t)~get16(field) + change));
}

void packet_readdress(struct packet *p, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
    uint8_t *tcp = p->ip + p->l4;
    uint64_t change = address_change(p, src, dst);
    correct(p->ip + 10, change);
    if (p->partial)
        put16(tcp + 16, fold(get16(tcp + 16) + change));
    else
        correct(tcp + 16, change + (uint16_t)~p->sport + sport + (uint16_t)~p->dport + dport);
    put32(p->ip + 12, p->src = src);
    put32(p->ip + 16, p->dst = dst);
    put16(tcp, p->sport = sport);
    put16(tcp + 2, p->dport = dport);
}

static uint64_t pseudo_sum(uint32_t src, uint32_t dst, uint32_t protocol, size_t len)
{
    return sum32(src) + sum32(dst) + protocol + len;
}

void packet_complete(struct packet *p)
{
    uint8_t *tcp = p->ip + p->l4;
    size_t len = p->len - p->l4;
    put16(tcp + 16, 0);
    put16(tcp + 16,
          (uint16_t)~fold(pseudo_sum(p->src, p->dst, PACKET_TCP, len) + sum_bytes(tcp, len)));
    p->partial = false;
}

static void put_ip(uint8_t *out, uint32_t src, uint32_t dst, uint8_t protocol, size_t len)
{
    memset(out, 0, IP_MIN);
    out[0] = 0x45;
    put16(out + 2, (uint32_t)len);
    put16(out + 6, IP_DONT_FRAG);
    out[8] = IP_TTL;
    out[9] = protocol;
    put32(out + 12, src);
    put32(out + 16, dst);
    put16(out + 10, (uint16_t)~fold(sum_bytes(out, IP_MIN)));
}

/* RFC 9293, 3.5.2: what a closed port answers. */
size_t packet_rst(const struct packet *p, uint8_t out[PACKET_REPLY])
{
    uint8_t *tcp = out + IP_MIN;
    if (p->protocol != PACKET_TCP || (p->flags & PACKET_RST))
        return 0;
    put_ip(out, p->dst, p->src, PACKET_TCP, IP_MIN + TCP_MIN);
    memset(tcp, 0, TCP_MIN);
    put16(tcp, p->dport);
    put16(tcp + 2, p->sport);
    tcp[12] = (TCP_MIN / 4) << 4;
    if (p->flags & PACKET_ACK) {
        put32(tcp + 4, p->ack);
        tcp[13] = PACKET_RST;
    } else {
        uint32_t taken = (uint32_t)(p->len - p->payload) + !!(p->flags & PACKET_SYN) +
                         !!(p->flags & PACKET_FIN);
        put32(tcp + 8, p->seq + taken);
        tcp[13] = PACKET_RST | PACKET_ACK;
    }
    struct packet reply;
    if (packet_parse(&reply, out, IP_MIN + TCP_MIN, true) < 0)
        return 0;
    packet_complete(&reply);
    return reply.len;
}

/* RFC 1122, 3.2.2: no error about an error, a multicast or a broadcast. */
static bool may_complain(const struct packet *p)
{
    if (p->dst >= 0xe0000000u || p->src == 0 || p->src >= 0xe0000000u)
        return false;
    return p->protocol != PACKET_ICMP || (p->len > p->l4 && p->ip[p->l4] == ICMP_ECHO);
}

size_t packet_icmp(const struct packet *p, uint32_t from, enum packet_unreachable code,
                   uint8_t out[PACKET_REPLY])
{
    uint8_t *icmp = out + IP_MIN;
    size_t quoted = p->len < QUOTED_MAX ? p->len : QUOTED_MAX;
    if (!may_complain(p))
        return 0;
    put_ip(out, from, p->src, PACKET_ICMP, IP_MIN + ICMP_HEADER + quoted);
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = ICMP_ERROR;
    icmp[1] = (uint8_t)code;
    memcpy(icmp + ICMP_HEADER, p->ip, quoted);
    put16(icmp + 2, (uint16_t)~fold(sum_bytes(icmp, ICMP_HEADER + quoted)));
    return IP_MIN + ICMP_HEADER + quoted;
}

size_t packet_udp(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, const void *data,
                  size_t len, uint8_t out[PACKET_REPLY])
{
    uint8_t *udp = out + IP_MIN;
    if (len > PACKET_REPLY - IP_MIN - UDP_HEADER)
        return 0;
    put_ip(out, src, dst, PACKET_UDP, IP_MIN + UDP_HEADER + len);
    put16(udp, sport);
    put16(udp + 2, dport);
    put16(udp + 4, (uint32_t)(UDP_HEADER + len));
    put16(udp + 6, 0);
    memcpy(udp + UDP_HEADER, data, len);
    uint16_t sum = (uint16_t)~fold(pseudo_sum(src, dst, PACKET_UDP, UDP_HEADER + len) +
                                   sum_bytes(udp, UDP_HEADER + len));
    put16(udp + 6, sum == 0 ? 0xffff : sum); /* 0 would mean that there is none */
    return IP_MIN + UDP_HEADER + len;
}
