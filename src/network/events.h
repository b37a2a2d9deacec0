/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - the last things that corral-egress said of one sandbox. */
#ifndef CORRAL_NETWORK_EVENTS_H
#define CORRAL_NETWORK_EVENTS_H

#include "base/jsonw.h"
#include "network/packet.h"

#define NETWORK_EVENTS 200u /* kept of one sandbox; older ones are counted */

struct network_event {
    int64_t time_ms;
    struct packet_event what;
};

/* Zeroed: none. Memory is taken with the first one. */
struct network_events {
    struct network_event *ring;
    uint64_t count; /* since the start; the last NETWORK_EVENTS of them are kept */
};

/* Takes over the host's name. */
void network_events_add(struct network_events *l, struct packet_event *e);
/* {"events": [...], "dropped": N}, oldest first. */
void network_events_print(struct jsonw *w, const struct network_events *l);
void network_events_done(struct network_events *l);

/* The words of clients and metrics. */
const char *network_what_str(enum egress_what what);
const char *network_reason_str(enum egress_reason reason);

#endif
