/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/net/nat.h"

#include "agent/net/names.h"
#include "base/netdev.h"
#include "t.h"

#define LISTENER 50000
#define PROGRAM  0xc6120001u
#define SERVER   0xc6120101u

static struct nat nat;
static struct names names;
static uint8_t bytes[60];

static struct packet *tcp(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, uint8_t flags)
{
    static struct packet p;
    const uint8_t ip[] = {0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, PACKET_TCP};
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, ip, sizeof(ip));
    for (int i = 0; i < 4; i++) {
        bytes[12 + i] = (uint8_t)(src >> (24 - 8 * i));
        bytes[16 + i] = (uint8_t)(dst >> (24 - 8 * i));
    }
    bytes[20] = (uint8_t)(sport >> 8);
    bytes[21] = (uint8_t)sport;
    bytes[22] = (uint8_t)(dport >> 8);
    bytes[23] = (uint8_t)dport;
    bytes[32] = 0x50;
    bytes[33] = flags;
    T_EQ(packet_parse(&p, bytes, 40, false), 0);
    return &p;
}

static enum nat_verdict from_program(uint16_t port, uint8_t flags, uint64_t now,
                                     struct nat_entry **e)
{
    return nat_input(&nat, tcp(PROGRAM, port, SERVER, 80, flags), now, e);
}

static void one_flow(void)
{
    struct nat_entry *e, *same;
    nat_init(&nat, LISTENER, 1);
    T_EQ(from_program(40000, PACKET_SYN, 1, &e), NAT_NEW);
    T_EQ(e->state, NAT_SYN_HELD);
    T_EQ(from_program(40000, PACKET_SYN, 2, &same), NAT_DROP);
    T_TRUE(nat_accept(&nat, e->q) == NULL);
    nat_admit(e);
    T_EQ(from_program(40000, PACKET_SYN, 3, &same), NAT_WRITE);
    T_TRUE(same == e);
    struct packet p;
    T_EQ(packet_parse(&p, bytes, 40, false), 0);
    T_EQ(p.src, NETDEV_GATEWAY);
    T_EQ(p.sport, e->q);
    T_EQ(p.dst, NETDEV_ADDRESS);
    T_EQ(p.dport, LISTENER);
    T_EQ(nat_input(&nat, tcp(NETDEV_ADDRESS, LISTENER, NETDEV_GATEWAY, e->q, 0x12), 4, &same),
         NAT_WRITE);
    T_EQ(packet_parse(&p, bytes, 40, false), 0);
    T_EQ(p.src, SERVER);
    T_EQ(p.sport, 80);
    T_EQ(p.dst, PROGRAM);
    T_EQ(p.dport, 40000);
    T_TRUE(nat_accept(&nat, e->q) == e);
    T_EQ(e->state, NAT_ACCEPTED);
    nat_close(&nat, e, 5);
    T_EQ(nat.live, 0);
    T_EQ(from_program(40000, PACKET_ACK, 6, &same), NAT_WRITE);
    T_EQ(from_program(40000, PACKET_ACK, 7 + NAT_TAIL_MS, &same), NAT_RESET);
}

static void a_port_taken_again_is_a_new_flow(void)
{
    struct nat_entry *e, *again;
    nat_init(&nat, LISTENER, 1);
    T_EQ(from_program(40000, PACKET_SYN, 1, &e), NAT_NEW);
    uint16_t q = e->q;
    nat_admit(e);
    nat_close(&nat, e, 2);
    T_EQ(from_program(40000, PACKET_SYN, 3, &again), NAT_NEW);
    T_TRUE(again->q != q);
    T_EQ(nat.live, 1);
}

static void a_program_may_give_up(void)
{
    struct nat_entry *e, *same;
    nat_init(&nat, LISTENER, 1);
    T_EQ(from_program(40000, PACKET_SYN, 1, &e), NAT_NEW);
    T_EQ(from_program(40000, PACKET_RST, 1, &same), NAT_GAVE_UP);
    nat_admit(e);
    T_EQ(from_program(40000, PACKET_RST | PACKET_ACK, 1, &same), NAT_GAVE_UP);
    T_TRUE(same == e);
    (void)nat_accept(&nat, e->q);
    T_EQ(from_program(40000, PACKET_RST, 1, &same), NAT_WRITE);
}

static void resets_what_is_nobodys(void)
{
    static const struct {
        uint32_t src;
        uint16_t sport;
        uint32_t dst;
        uint16_t dport;
        uint8_t flags;
        enum nat_verdict verdict;
    } cases[] = {
        {PROGRAM, 4000, SERVER, 80, PACKET_ACK, NAT_RESET},
        {PROGRAM, 4000, SERVER, 80, PACKET_SYN | PACKET_ACK, NAT_RESET},
        {PROGRAM, 4000, SERVER, 80, PACKET_SYN | PACKET_FIN, NAT_RESET},
        {PROGRAM, 4000, SERVER, 80, 0, NAT_RESET},
        {PROGRAM, 4000, SERVER, 0, PACKET_SYN, NAT_RESET},
        {PROGRAM, 0, SERVER, 80, PACKET_SYN, NAT_RESET},
        {PROGRAM, 4000, NETDEV_ADDRESS, LISTENER, PACKET_SYN, NAT_RESET},
        {PROGRAM, 4000, NETDEV_GATEWAY, 1024, PACKET_SYN, NAT_RESET},
        {PROGRAM, LISTENER, NETDEV_GATEWAY, 1024, PACKET_SYN, NAT_RESET},
        {PROGRAM, 4000, NETDEV_RESOLVER, 80, PACKET_SYN, NAT_RESET},
        {PROGRAM, 4000, NETDEV_RESOLVER, 53, PACKET_SYN, NAT_NEW},
        {NETDEV_GATEWAY, 1024, SERVER, 80, PACKET_SYN, NAT_RESET},
        {PROGRAM, 4000, 0xe0000001u, 80, PACKET_SYN, NAT_DROP},
        {PROGRAM, 4000, 0xffffffffu, 80, PACKET_SYN, NAT_DROP},
    };
    nat_init(&nat, LISTENER, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nat_entry *e;
        struct packet *p = tcp(cases[i].src, cases[i].sport, cases[i].dst, cases[i].dport,
                               cases[i].flags);
        if (nat_input(&nat, p, 1, &e) != cases[i].verdict)
            T_FAIL("case %zu", i);
    }
}

static void is_bounded(void)
{
    struct nat_entry *e;
    nat_init(&nat, LISTENER, 1);
    for (uint32_t i = 0; i < NAT_LIVE_MAX; i++)
        T_EQ(from_program((uint16_t)(2000 + i), PACKET_SYN, 1, &e), NAT_NEW);
    T_EQ(from_program(1999, PACKET_SYN, 1, &e), NAT_FULL);
}

/* Far more than there are entries and ports: the tails make room, the oldest first. */
static void tails_make_room(void)
{
    nat_init(&nat, LISTENER, 1);
    for (uint32_t i = 0; i < 200000; i++) {
        struct nat_entry *e;
        T_EQ(nat_input(&nat,
                       tcp(PROGRAM + i / 60000 * 65536, (uint16_t)(1 + i % 60000), SERVER, 80,
                           PACKET_SYN),
                       i, &e),
             NAT_NEW);
        nat_admit(e);
        T_TRUE(nat_accept(&nat, e->q) == e);
        nat_close(&nat, e, i);
        T_EQ(nat.live, 0);
    }
}

static void names_keep_their_address(void)
{
    char text[32];
    names_init(&names, 1);
    uint32_t first = names_add(&names, "first.test", 0)->address;
    T_EQ(first, NETDEV_POOL_FIRST + 1);
    T_EQ(names_add(&names, "first.test", 5)->address, first);
    for (unsigned int i = 1; i < NAMES_MAX; i++) {
        (void)snprintf(text, sizeof(text), "n%u.test", i);
        struct name *name = names_add(&names, text, 10);
        T_TRUE(name != NULL && (name->address & 0xff) != 0 && (name->address & 0xff) != 255);
        T_TRUE(names_at(&names, name->address, 10) == name);
    }
    /* Full: nothing is forgotten that was used lately. */
    T_TRUE(names_add(&names, "more.test", 20) == NULL);
    T_TRUE(names_find(&names, "n1.test", NAMES_FLOOR_MS + 9) != NULL);
    struct name *more = names_add(&names, "more.test", NAMES_FLOOR_MS + 10);
    T_TRUE(more != NULL && more->address != first);
    T_TRUE(names_find(&names, "first.test", 0) == NULL);
    T_TRUE(names_at(&names, first, 0) == NULL);
    T_TRUE(names_find(&names, "n1.test", 0) != NULL);
    T_EQ(names.count, NAMES_MAX);
    names_done(&names);
}

static void names_that_can_be(void)
{
    static const char *const good[] = {"a", "a.b", "_srv._tcp.x.test", "xn--80ak6aa92e.test",
                                       "1.a"};
    static const char *const bad[] = {"",    ".",   "a..b",    ".a",     "a.",         "A",
                                      "a b", "a?b", "1.2.3.4", "0x7f.1", "2130706433", "127.1"};
    char label[80] = {0};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        T_TRUE(names_is_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        T_TRUE(!names_is_valid(bad[i]));
    memset(label, 'a', 63);
    T_TRUE(names_is_valid(label));
    label[63] = 'a';
    T_TRUE(!names_is_valid(label));
}

T_MAIN(T_CASE(one_flow), T_CASE(a_port_taken_again_is_a_new_flow), T_CASE(a_program_may_give_up),
       T_CASE(resets_what_is_nobodys), T_CASE(is_bounded), T_CASE(tails_make_room),
       T_CASE(names_keep_their_address), T_CASE(names_that_can_be))
