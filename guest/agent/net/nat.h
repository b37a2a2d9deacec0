/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat.h - the table of TCP flows between programs and the agent's own listener. Pure: it rewrites
 * packets and says what to do with them, and has no descriptor.
 *
 * A program's packet me:p -> X:d becomes NETDEV_GATEWAY:q -> NETDEV_ADDRESS:listener and goes back
 * into the TUN; the listener's answers become X:d -> me:p. So both ends of a flow are sockets of
 * the sandbox's kernel, which does all of TCP.
 */
#ifndef CORRAL_AGENT_NET_NAT_H
#define CORRAL_AGENT_NET_NAT_H

#include "agent/net/packet.h"
#include "base/list.h"

#define NAT_LIVE_MAX 512u  /* flows that are not CLOSING */
#define NAT_MAX      2048u /* with those */
#define NAT_BUCKETS  1024u
#define NAT_TAIL_MS  60000u

enum nat_state {
    /* Not in use. */
    NAT_FREE,
    /* The first SYN came and was given to the owner, who asks the host.
     *   Operations: nat_admit, nat_forget.
     *   Caveats: repeated SYNs are dropped, so the program sees an answer only from the owner. */
    NAT_SYN_HELD,
    /* Packets pass. The listener has not accepted yet.
     *   Operations: nat_accept, nat_close.
     *   Caveats: a RST of the program is told as NAT_GAVE_UP. */
    NAT_NATTED,
    /* The listener has accepted.
     *   Operations: nat_close. */
    NAT_ACCEPTED,
    /* The accepted socket is closed, and has no owner. Packets still pass: the kernel may have to
     * send the rest of its data, FINs and their answers.
     *   Caveats: it ends after NAT_TAIL_MS without a packet, or earlier when room is needed, the
     *   longest silent first. No timer does this: the next packet or flow finds out. */
    NAT_CLOSING,
};

enum nat_verdict {
    NAT_DROP,
    NAT_WRITE,   /* rewritten in place: write it back */
    NAT_RESET,   /* answer with RST */
    NAT_FULL,    /* a new flow, and no room: answer host unreachable */
    NAT_NEW,     /* a new flow, SYN_HELD; the packet is as it was */
    NAT_GAVE_UP, /* like WRITE; the owner's flow ends, the program is gone */
};

struct nat_entry {
    struct list pair, port, order;
    enum nat_state state;
    uint32_t src, dst;
    uint16_t sport, dport;
    uint16_t q;                  /* the port that stands for the program */
    uint64_t opened_at, used_at; /* ms: the first and the last packet */
    void *owner;                 /* NULL: none, or the resolver over TCP */
};

struct nat {
    struct list pairs[NAT_BUCKETS], ports[NAT_BUCKETS];
    struct list free, closing; /* closing: longest silent first */
    struct nat_entry entries[NAT_MAX];
    unsigned int live, live_max;
    uint16_t next_q, listener_port;
    uint32_t seed; /* of the hash of pairs */
};

void nat_init(struct nat *n, uint16_t listener_port, uint32_t seed);
/* What to do with a TCP packet from the TUN. `ret` is set for NEW and GAVE_UP. */
enum nat_verdict nat_input(struct nat *n, struct packet *p, uint64_t now, struct nat_entry **ret);

void nat_admit(struct nat_entry *e);
/* Rewrites the program's packet of an admitted flow. */
void nat_to_listener(const struct nat *n, const struct nat_entry *e, struct packet *p);
/* Who connected to the listener: the entry of port `q`, ACCEPTED if it was NATTED; NULL: nobody. */
struct nat_entry *nat_accept(struct nat *n, uint16_t q);
void nat_close(struct nat *n, struct nat_entry *e, uint64_t now);
void nat_forget(struct nat *n, struct nat_entry *e);

#endif
