/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter.h - what is counted, and when the server is told.
 *
 * Bytes are those of the flows, without any framing: counted when they were read from the network,
 * and when the kernel took them to send. A change makes a meter dirty; what is dirty is sent
 * at most once a second, and a server that does not read gets the latest numbers later rather than
 * all of them. Without changes there is no timer.
 */
#ifndef CORRAL_EGRESS_METER_H
#define CORRAL_EGRESS_METER_H

#include <stdbool.h>
#include <uv.h>

#include "egress_ctl.h"

#define METER_MS 1000

struct egress;

struct meter {
    uv_timer_t timer;
    bool running, dirty;
    uint64_t flows, open;
    uint64_t denials[EGRESS_REASON_COUNT];
};

struct meter_bytes {
    uint64_t rx, tx; /* from the network, and to it */
    bool dirty;
};

int meter_init(struct egress *e);
/* Something was counted. */
void meter_touch(struct egress *e);
/* Sends what is dirty, as far as the server reads. */
void meter_flush(struct egress *e);

#endif
