/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of corral-egress to the server. */
#include <stdlib.h>
#include <string.h>

#include "network/events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet p;
    struct network_events events = {.ring = NULL};
    struct buf text = {0};
    struct jsonw w = {.out = &text};
    if (packet_read(data, size, &p) < 0)
        return 0;
    if (p.type != EGRESS_READY && p.type != EGRESS_STATS && strlen(p.id) > PACKET_MAX_ID)
        abort();
    if (p.type == EGRESS_EVENT) {
        network_events_add(&events, &p.event);
        network_events_print(&w, &events);
    }
    packet_done(&p);
    network_events_done(&events);
    buf_done(&text);
    return 0;
}
