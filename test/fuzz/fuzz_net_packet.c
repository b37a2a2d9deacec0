/* SPDX-License-Identifier: Apache-2.0 */
/* Input: packets from the TUN, each behind its length (u16) and a byte of flags, through parser and
 * table. The table must stay within its bounds, and every answer must be a packet itself. */
#include <stdlib.h>
#include <string.h>

#include "agent/net/nat.h"
#include "base/netdev.h"

#define LISTENER 50000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct nat nat;

static void check_answer(uint8_t *out, size_t len)
{
    struct packet p;
    if (len > PACKET_REPLY || (len > 0 && packet_parse(&p, out, len, false) < 0))
        abort();
}

static void take(struct packet *p, unsigned int flags, uint64_t now)
{
    uint8_t out[PACKET_REPLY];
    struct nat_entry *e;
    check_answer(out, packet_rst(p, out));
    check_answer(out, packet_icmp(p, NETDEV_GATEWAY, PACKET_NO_HOST, out));
    if (p->protocol != PACKET_TCP)
        return;
    enum nat_verdict verdict = nat_input(&nat, p, now, &e);
    if (verdict == NAT_NEW && (flags & 2)) {
        if (p->partial)
            packet_complete(p);
        nat_admit(e);
        nat_to_listener(&nat, e, p);
        if (flags & 4)
            (void)nat_accept(&nat, e->q);
        if (flags & 8)
            nat_close(&nat, e, now);
    } else if (verdict == NAT_NEW && (flags & 16)) {
        nat_forget(&nat, e);
    }
    if (nat.live > NAT_LIVE_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t now = 0;
    nat_init(&nat, LISTENER, 1);
    while (size > 3) {
        size_t len = (size_t)data[0] | (size_t)data[1] << 8;
        unsigned int flags = data[2];
        data += 3;
        size -= 3;
        len = len < size ? len : size;
        uint8_t *packet = malloc(len > 0 ? len : 1);
        if (packet == NULL)
            abort();
        memcpy(packet, data, len);
        struct packet p;
        if (packet_parse(&p, packet, len, (flags & 1) != 0) == 0)
            take(&p, flags, now += (flags & 0xe0) << 8);
        free(packet);
        data += len;
        size -= len;
    }
    return 0;
}
