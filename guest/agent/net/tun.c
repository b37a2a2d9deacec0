/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tun.c - the header before each packet goes back as it came: segment sizes and the place of the
 * checksum stay true, since rewriting changes no length.
 */
#include "agent/net/tun.h"

#include <errno.h>
#include <sys/uio.h>

#define TCP_SUM_OFFSET 16u

/* A partial checksum is TCP's, where TCP has it. Anything else is not of this kernel's making. */
static bool is_partial_tcp(const struct tun *t, const struct packet *p)
{
    return p->protocol == PACKET_TCP && t->header.csum_start == p->l4 &&
           t->header.csum_offset == TCP_SUM_OFFSET;
}

int tun_read(struct tun *t, struct packet *ret)
{
    const struct iovec parts[] = {{&t->header, sizeof(t->header)}, {t->packet, sizeof(t->packet)}};
    ssize_t n = readv(t->source.fd, parts, 2);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if ((size_t)n < sizeof(t->header))
        return 0;
    bool partial = (t->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
    if (packet_parse(ret, t->packet, (size_t)n - sizeof(t->header), partial) < 0)
        return 0;
    return ret->protocol == PACKET_TCP && partial && !is_partial_tcp(t, ret) ? 0 : 1;
}

static void write_packet(struct tun *t, const struct virtio_net_hdr *header, const uint8_t *ip,
                         size_t len)
{
    const struct iovec parts[] = {{(void *)header, sizeof(*header)}, {(void *)ip, len}};
    (void)!writev(t->source.fd, parts, 2);
}

void tun_write_back(struct tun *t, const struct packet *p)
{
    write_packet(t, &t->header, p->ip, p->len);
}

void tun_write(struct tun *t, const uint8_t *ip, size_t len)
{
    const struct virtio_net_hdr none = {0};
    if (len > 0)
        write_packet(t, &none, ip, len);
}

void tun_answer_rst(struct tun *t, const struct packet *p)
{
    tun_write(t, t->reply, packet_rst(p, t->reply));
}

void tun_answer_icmp(struct tun *t, const struct packet *p, uint32_t from,
                     enum packet_unreachable code)
{
    tun_write(t, t->reply, packet_icmp(p, from, code, t->reply));
}
