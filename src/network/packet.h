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

/* What a SETUP says. Lists are NULL-terminated. */
struct packet_setup {
    enum egress_default otherwise;
    char *const *allow, *const *deny;
    const char *ca_cert, *ca_key; /* PEM */
};

/* To corral-egress; memory failure is remembered by the buffer. A SETUP and a POLICY hold what the
 * caller wipes. */
void packet_put_setup(struct buf *b, const struct packet_setup *s);
void packet_put_sandbox(struct buf *b, const char *id);
/* Secrets are those of the account; NULL: references to them stay as they are. */
void packet_put_policy(struct buf *b, const char *id, const struct network_policy *p,
                       enum egress_default fallback, struct secrets *secrets, const char *account);
void packet_put_drop(struct buf *b, const char *id);

#endif
