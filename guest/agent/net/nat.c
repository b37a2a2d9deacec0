/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat.c - entries stand in two hash tables: by the program's pair of ends, and by the port that
 * stands for it towards the listener.
 *
 * Theory of operation. Ports are given out in turn over the whole range, so that the listener's
 * side of a port has left TIME_WAIT long before the port comes again. What a packet of no entry is
 * answered with is RST, whoever sent it: a connection that survived its entry ends at once, and
 * connecting to the listener, the gateway or the resolver by hand leads nowhere, least of all round
 * in a circle.
 */
#include "agent/net/nat.h"

#include <string.h>

#include "base/netdev.h"

#define NAT_PORT_FIRST 1024u
#define NAT_PORT_LAST  65535u
#define DNS_PORT       53u

void nat_init(struct nat *n, uint16_t listener_port, uint32_t seed)
{
    memset(n, 0, sizeof(*n));
    n->listener_port = listener_port;
    n->seed = seed;
    n->live_max = NAT_LIVE_MAX;
    n->next_q = NAT_PORT_FIRST;
    list_init(&n->free);
    list_init(&n->closing);
    for (size_t i = 0; i < NAT_BUCKETS; i++) {
        list_init(&n->pairs[i]);
        list_init(&n->ports[i]);
    }
    for (size_t i = 0; i < NAT_MAX; i++) {
        list_init(&n->entries[i].pair);
        list_init(&n->entries[i].port);
        list_init(&n->entries[i].order);
        list_add_tail(&n->free, &n->entries[i].order);
    }
}

static struct list *pair_bucket(struct nat *n, const struct packet *p)
{
    uint32_t h = n->seed;
    h = (h ^ p->src) * 0x9e3779b1u;
    h = (h ^ h >> 15 ^ p->dst) * 0x85ebca77u;
    h = (h ^ h >> 13 ^ ((uint32_t)p->sport << 16 | p->dport)) * 0xc2b2ae3du;
    return &n->pairs[(h ^ h >> 16) % NAT_BUCKETS];
}

static struct nat_entry *find_pair(struct nat *n, const struct packet *p)
{
    list_for_each (it, pair_bucket(n, p)) {
        struct nat_entry *e = list_entry(it, struct nat_entry, pair);
        if (e->src == p->src && e->dst == p->dst && e->sport == p->sport && e->dport == p->dport)
            return e;
    }
    return NULL;
}

static struct nat_entry *find_port(struct nat *n, uint16_t q)
{
    list_for_each (it, &n->ports[q % NAT_BUCKETS]) {
        struct nat_entry *e = list_entry(it, struct nat_entry, port);
        if (e->q == q)
            return e;
    }
    return NULL;
}

void nat_forget(struct nat *n, struct nat_entry *e)
{
    if (e->state == NAT_FREE)
        return;
    if (e->state != NAT_CLOSING)
        n->live--;
    list_del(&e->pair);
    list_del(&e->port);
    list_del(&e->order);
    list_add_tail(&n->free, &e->order);
    e->state = NAT_FREE;
    e->owner = NULL;
}

void nat_close(struct nat *n, struct nat_entry *e, uint64_t now)
{
    if (e->state == NAT_FREE || e->state == NAT_CLOSING)
        return;
    n->live--;
    e->state = NAT_CLOSING;
    e->owner = NULL;
    e->used_at = now;
    list_add_tail(&n->closing, &e->order);
}

static bool has_ended(const struct nat_entry *e, uint64_t now)
{
    return e->state == NAT_CLOSING && now - e->used_at > NAT_TAIL_MS;
}

/* There are fewer entries than ports: the search ends. */
static uint16_t take_port(struct nat *n)
{
    for (;;) {
        uint16_t q = n->next_q;
        n->next_q = (uint16_t)(q == NAT_PORT_LAST ? NAT_PORT_FIRST : q + 1u);
        if (find_port(n, q) == NULL)
            return q;
    }
}

static struct nat_entry *new_entry(struct nat *n, const struct packet *p, uint64_t now)
{
    if (n->live >= n->live_max)
        return NULL;
    if (list_empty(&n->free)) {
        if (list_empty(&n->closing))
            return NULL;
        nat_forget(n, list_first(&n->closing, struct nat_entry, order));
    }
    struct nat_entry *e = list_first(&n->free, struct nat_entry, order);
    list_del(&e->order);
    e->state = NAT_SYN_HELD;
    e->src = p->src;
    e->sport = p->sport;
    e->dst = p->dst;
    e->dport = p->dport;
    e->q = take_port(n);
    e->opened_at = e->used_at = now;
    e->owner = NULL;
    list_add_head(pair_bucket(n, p), &e->pair);
    list_add_head(&n->ports[e->q % NAT_BUCKETS], &e->port);
    n->live++;
    return e;
}

static void touch(struct nat *n, struct nat_entry *e, uint64_t now)
{
    e->used_at = now;
    if (e->state != NAT_CLOSING)
        return;
    list_del(&e->order);
    list_add_tail(&n->closing, &e->order);
}

static enum nat_verdict from_listener(struct nat *n, struct packet *p, uint64_t now)
{
    struct nat_entry *e = find_port(n, p->dport);
    if (e == NULL || e->state == NAT_SYN_HELD || has_ended(e, now))
        return NAT_RESET;
    touch(n, e, now);
    packet_readdress(p, e->dst, e->dport, e->src, e->sport);
    return NAT_WRITE;
}

/* Nothing listens in the interface's own network but the resolver. */
static bool is_refused(const struct packet *p)
{
    bool resolver = p->dst == NETDEV_RESOLVER && p->dport == DNS_PORT;
    return p->dport == 0 || p->sport == 0 || ((p->dst & NETDEV_MASK) == NETDEV_NET && !resolver) ||
           p->src == NETDEV_GATEWAY;
}

static enum nat_verdict open_flow(struct nat *n, struct packet *p, uint64_t now,
                                  struct nat_entry **ret)
{
    if (is_refused(p) || (p->flags & (PACKET_ACK | PACKET_RST | PACKET_FIN)) != 0 ||
        (p->flags & PACKET_SYN) == 0)
        return NAT_RESET;
    /* Data in a SYN needs a cookie that the listener never gave. */
    if (p->len > PACKET_SYN_MAX || p->payload != p->len)
        return NAT_DROP;
    *ret = new_entry(n, p, now);
    return *ret == NULL ? NAT_FULL : NAT_NEW;
}

enum nat_verdict nat_input(struct nat *n, struct packet *p, uint64_t now, struct nat_entry **ret)
{
    *ret = NULL;
    if (p->dst >= 0xe0000000u) /* multicast, broadcast */
        return NAT_DROP;
    if (p->src == NETDEV_ADDRESS && p->sport == n->listener_port && p->dst == NETDEV_GATEWAY)
        return from_listener(n, p, now);
    struct nat_entry *e = find_pair(n, p);
    bool opens = (p->flags & (PACKET_SYN | PACKET_ACK | PACKET_RST)) == PACKET_SYN;
    /* The program's kernel has taken the port again. */
    if (e != NULL && (has_ended(e, now) || (opens && e->state == NAT_CLOSING))) {
        nat_forget(n, e);
        e = NULL;
    }
    if (e == NULL)
        return open_flow(n, p, now, ret);
    *ret = e;
    touch(n, e, now);
    if (e->state == NAT_SYN_HELD)
        return p->flags & PACKET_RST ? NAT_GAVE_UP : NAT_DROP;
    nat_to_listener(n, e, p);
    return e->state == NAT_NATTED && (p->flags & PACKET_RST) ? NAT_GAVE_UP : NAT_WRITE;
}

void nat_admit(struct nat_entry *e)
{
    e->state = NAT_NATTED;
}

void nat_to_listener(const struct nat *n, const struct nat_entry *e, struct packet *p)
{
    packet_readdress(p, NETDEV_GATEWAY, e->q, NETDEV_ADDRESS, n->listener_port);
}

struct nat_entry *nat_accept(struct nat *n, uint16_t q)
{
    struct nat_entry *e = find_port(n, q);
    if (e == NULL || e->state == NAT_SYN_HELD)
        return NULL;
    if (e->state == NAT_NATTED)
        e->state = NAT_ACCEPTED;
    return e;
}
