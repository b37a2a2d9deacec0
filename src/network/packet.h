/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.h - the packets of egress_ctl.h on the server's side. Pure functions, no I/O.
 *
 * corral-egress reads what sandboxes and name servers send, so its packets are hostile: whatever
 * does not have exactly the fields of its type is refused.
 */
#ifndef CORRAL_NETWORK_PACKET_H
#define CORRAL_NETWORK_PACKET_H

#include "base/wire_codec.h"
#include "network/policy.h"

#define PACKET_MAX_ID      64u
#define PACKET_MAX_HOST    512u /* of an event: what a sandbox asked for need not be a name */
#define PACKET_MAX_REASONS 64u  /* of STATS; a newer corral-egress may know more of them */

struct packet_event {
    enum egress_what what;
    enum egress_reason reason;
    uint16_t port;
    char address[ADDRESS_TEXT]; /* "" when there was none */
    char *host;                 /* owned */
};

struct packet_meter {
    uint64_t rx, tx; /* from the network, and to it, since SANDBOX */
    uint32_t flows;
};

struct packet_stats {
    uint64_t flows, lookups, lookup_us;
    uint32_t open;
    uint64_t denials[EGRESS_REASON_COUNT];
};

struct packet {
    enum egress_type type;
    char id[PACKET_MAX_ID + 1]; /* EVENT and METER */
    union {
        uint32_t pid; /* READY */
        struct packet_event event;
        struct packet_meter meter;
        struct packet_stats stats;
    };
};

/* A whole packet of corral-egress. 0, or -EPROTO and nothing is owned. */
int packet_read(const void *data, size_t len, struct packet *ret);
void packet_done(struct packet *p);

/* To corral-egress; memory failure is remembered by the buffer. Lists are NULL-terminated. */
void packet_put_setup(struct buf *b, enum egress_default otherwise, char *const *allow,
                      char *const *deny);
void packet_put_sandbox(struct buf *b, const char *id);
void packet_put_policy(struct buf *b, const char *id, const struct network_policy *p,
                       enum egress_default fallback);
void packet_put_drop(struct buf *b, const char *id);

#endif
