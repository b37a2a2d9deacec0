/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.h - the server's side of corral-egress: egress_ctl.h over descriptor 3.
 *
 * Packets of the server are carried out one by one, in their order. The server is trusted to say
 * what it wants and not trusted to say it well: a packet that is malformed or comes too early ends
 * the process, because what follows could only be guessed. A list of rules that cannot be read
 * denies its sandbox everything.
 *
 * What goes to the server never waits for it: events queue up to CTL_MAX_QUEUE packets, further
 * ones are counted and dropped; numbers are sent when the queue is empty (meter.h).
 */
#ifndef CORRAL_EGRESS_CTL_SOCKET_H
#define CORRAL_EGRESS_CTL_SOCKET_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "base/list.h"
#include "egress_ctl.h"

#define CTL_MAX_QUEUE 1024u /* packets; an event is below 512 bytes */
#define CTL_BATCH     32u   /* packets read before flows have their turn */

struct egress;

struct ctl {
    uv_poll_t poll;
    bool set_up;       /* SETUP was carried out */
    bool failed;       /* the process ends with an error */
    struct list queue; /* struct ctl_packet */
    size_t queued;
    uint64_t dropped;
    uint8_t *packet; /* EGRESS_MAX_FRAME bytes */
};

struct ctl_event {
    const char *id, *host, *address;
    enum egress_what what;
    enum egress_reason reason;
    uint16_t port;
};

int ctl_init(struct egress *e);
/* Sends one packet now. -EAGAIN when the server does not read or others are before it. */
int ctl_send(struct ctl *c, const struct buf *packet);
/* Sends it now or later, or drops it when the queue is full. */
void ctl_event(struct egress *e, const struct ctl_event *event);

#endif
