/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/net/packet.h"

#include "t.h"

/* 198.18.0.1:40000 -> 198.18.1.1:80, SYN with 20 bytes of options; sums as a kernel made them. */
static const uint8_t syn[] = {
    0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06, 0x00, 0x00, 0xc6, 0x12, 0x00,
    0x01, 0xc6, 0x12, 0x01, 0x01, 0x9c, 0x40, 0x00, 0x50, 0x11, 0x22, 0x33, 0x44, 0x00, 0x00,
    0x00, 0x00, 0xa0, 0x02, 0xfa, 0xf0, 0x00, 0x00, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4, 0x04,
    0x02, 0x08, 0x0a, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x07,
};

/* By the definition, from scratch. */
static uint16_t sum_of(const uint8_t *p, size_t len, uint32_t start)
{
    uint32_t sum = start;
    for (size_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint16_t l4_sum(const struct packet *p)
{
    uint32_t pseudo = sum_of(p->ip + 12, 8, 0) + p->protocol + (uint32_t)(p->len - p->l4);
    return sum_of(p->ip + p->l4, p->len - p->l4, pseudo);
}

static void ip_sum(uint8_t *ip)
{
    ip[10] = ip[11] = 0;
    uint16_t sum = (uint16_t)~sum_of(ip, 20, 0);
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
}

/* An exact heap copy: reading behind the end is seen. */
static uint8_t *copy_of(const uint8_t *p, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    T_TRUE(copy != NULL);
    memcpy(copy, p, len);
    return copy;
}

static void reads_fields(void)
{
    struct packet p;
    uint8_t *bytes = copy_of(syn, sizeof(syn));
    T_EQ(packet_parse(&p, bytes, sizeof(syn), false), 0);
    T_EQ(p.src, 0xc6120001u);
    T_EQ(p.dst, 0xc6120101u);
    T_EQ(p.sport, 40000);
    T_EQ(p.dport, 80);
    T_EQ(p.seq, 0x11223344);
    T_EQ(p.flags, PACKET_SYN);
    T_EQ(p.payload, sizeof(syn));
    free(bytes);
}

static void refuses_every_truncation(void)
{
    for (size_t len = 0; len < sizeof(syn); len++) {
        struct packet p;
        uint8_t *bytes = copy_of(syn, len);
        T_TRUE(packet_parse(&p, bytes, len, false) < 0);
        free(bytes);
    }
}

static void refuses_lying_lengths(void)
{
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = {{0, 0x65}, {0, 0x44}, {0, 0x4f}, {3, 0x3d},  {3, 0x13},
                {3, 0x20}, {6, 0x20}, {7, 0x01}, {32, 0x40}, {32, 0xf0}};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct packet p;
        uint8_t *bytes = copy_of(syn, sizeof(syn));
        bytes[lies[i].at] = lies[i].value;
        T_TRUE(packet_parse(&p, bytes, sizeof(syn), false) < 0);
        free(bytes);
    }
}

static void readdresses_whole_sums(void)
{
    struct packet p;
    uint8_t bytes[sizeof(syn)];
    memcpy(bytes, syn, sizeof(syn));
    ip_sum(bytes);
    T_EQ(packet_parse(&p, bytes, sizeof(bytes), true), 0);
    packet_complete(&p);
    T_EQ(l4_sum(&p), 0xffff);
    for (uint32_t i = 0; i < 5000; i++) {
        packet_readdress(&p, 0xc6120000u + i * 7919, (uint16_t)(i * 31), i * 2654435761u,
                         (uint16_t)(i * 17));
        T_EQ(l4_sum(&p), 0xffff);
        T_EQ(sum_of(bytes, 20, 0), 0xffff);
    }
}

/* What the device would complete must be right: the field is the pseudo header's sum. */
static void readdresses_partial_sums(void)
{
    struct packet p;
    uint8_t bytes[sizeof(syn)];
    memcpy(bytes, syn, sizeof(syn));
    uint16_t pseudo = sum_of(bytes + 12, 8, 6 + 40);
    bytes[36] = (uint8_t)(pseudo >> 8);
    bytes[37] = (uint8_t)pseudo;
    ip_sum(bytes);
    T_EQ(packet_parse(&p, bytes, sizeof(bytes), true), 0);
    packet_readdress(&p, 0xc6120002u, 1024, 0xc6120001u, 50000);
    T_EQ(bytes[36] << 8 | bytes[37], sum_of(bytes + 12, 8, 6 + 40));
    T_EQ(sum_of(bytes, 20, 0), 0xffff);
}

static void answers_a_syn_with_rst(void)
{
    struct packet p, r;
    uint8_t bytes[sizeof(syn)], out[PACKET_REPLY];
    memcpy(bytes, syn, sizeof(syn));
    T_EQ(packet_parse(&p, bytes, sizeof(bytes), false), 0);
    size_t len = packet_rst(&p, out);
    T_EQ(packet_parse(&r, out, len, false), 0);
    T_EQ(r.flags, PACKET_RST | PACKET_ACK);
    T_EQ(r.ack, p.seq + 1);
    T_EQ(r.src, p.dst);
    T_EQ(r.dport, p.sport);
    T_EQ(l4_sum(&r), 0xffff);
    T_EQ(sum_of(out, 20, 0), 0xffff);
    T_EQ(packet_rst(&r, out), 0);
}

static void quotes_in_icmp(void)
{
    struct packet p, r;
    uint8_t bytes[sizeof(syn)], out[PACKET_REPLY];
    memcpy(bytes, syn, sizeof(syn));
    T_EQ(packet_parse(&p, bytes, sizeof(bytes), false), 0);
    size_t len = packet_icmp(&p, 0xc6120002u, PACKET_PROHIBITED, out);
    T_EQ(len, 28 + sizeof(syn));
    T_EQ(packet_parse(&r, out, len, false), 0);
    T_EQ(out[20] << 8 | out[21], 3 << 8 | 13);
    T_EQ(sum_of(out + 20, len - 20, 0), 0xffff);
    T_MEM(out + 28, len - 28, syn, sizeof(syn));
    T_EQ(packet_icmp(&r, 0xc6120002u, PACKET_NO_HOST, out), 0);
    p.dst = 0xe0000016u;
    T_EQ(packet_icmp(&p, 0xc6120002u, PACKET_NO_HOST, out), 0);
}

static void makes_udp(void)
{
    struct packet p;
    uint8_t data[PACKET_REPLY] = {1, 2, 3}, out[PACKET_REPLY];
    for (size_t n = 0; n < 64; n++) {
        size_t len = packet_udp(0x08080808u, 53, 0xc6120001u, 1234, data, n, out);
        T_EQ(len, 28 + n);
        T_EQ(packet_parse(&p, out, len, false), 0);
        T_EQ(l4_sum(&p), 0xffff);
        T_EQ(p.len - p.payload, n);
    }
    T_EQ(packet_udp(1, 2, 3, 4, data, PACKET_REPLY - 27, out), 0);
}

T_MAIN(T_CASE(reads_fields), T_CASE(refuses_every_truncation), T_CASE(refuses_lying_lengths),
       T_CASE(readdresses_whole_sums), T_CASE(readdresses_partial_sums),
       T_CASE(answers_a_syn_with_rst), T_CASE(quotes_in_icmp), T_CASE(makes_udp))
