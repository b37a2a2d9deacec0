/* SPDX-License-Identifier: Apache-2.0 */
/* tun.h - reads and writes packets, and the answers that the agent makes itself. */
#ifndef CORRAL_AGENT_NET_TUN_H
#define CORRAL_AGENT_NET_TUN_H

#include <linux/virtio_net.h>

#include "agent/net/packet.h"
#include "agent/net/poll.h"

struct tun {
    struct poll_source source;
    struct virtio_net_hdr header; /* of the packet that was read last */
    uint8_t packet[PACKET_MAX];
    uint8_t reply[PACKET_REPLY];
};

/* 1 and a packet, 0 for one that is none, -EAGAIN, or another negative errno: the TUN is gone. */
int tun_read(struct tun *t, struct packet *ret);
/* Writes back what was read last. A packet that the kernel does not take is lost, as on a wire. */
void tun_write_back(struct tun *t, const struct packet *p);
/* Writes a packet with whole checksums. */
void tun_write(struct tun *t, const uint8_t *ip, size_t len);

void tun_answer_rst(struct tun *t, const struct packet *p);
void tun_answer_icmp(struct tun *t, const struct packet *p, uint32_t from,
                     enum packet_unreachable code);

#endif
