/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnstcp.h - DNS over TCP on the resolver's address: connections that ask one question after the
 * other, each behind its length. No answer of ours needs it; some programs want it anyway.
 */
#ifndef CORRAL_AGENT_NET_DNSTCP_H
#define CORRAL_AGENT_NET_DNSTCP_H

#include "agent/net/resolver.h"

#define DNSTCP_MAX     16u
#define DNSTCP_IDLE_MS 10000u
#define DNSTCP_MESSAGE 512u /* longest question */

struct dnstcp_conn {
    struct dnstcp *all;
    struct poll_source source;
    struct poll_timer timer; /* ends it */
    bool asked;              /* waits for an answer, and is not read */
    uint32_t serial;
    size_t in_len, out_len, out_sent;
    uint8_t in[2 + DNSTCP_MESSAGE];
    uint8_t out[2 + DNS_ANSWER_MAX];
};

struct dnstcp {
    struct poll *poll;
    struct resolver *resolver;
    struct dnstcp_conn conns[DNSTCP_MAX];
};

void dnstcp_init(struct dnstcp *d);
void dnstcp_done(struct dnstcp *d);
/* Takes the descriptor, or closes it when there are too many. */
void dnstcp_accepted(struct dnstcp *d, int fd);
/* An answer of the resolver; it is dropped when the connection is gone. */
void dnstcp_answer(struct dnstcp_conn *c, uint32_t serial, const uint8_t *message, size_t len);

#endif
