/* SPDX-License-Identifier: Apache-2.0 */
/* ping.c - PING: version and uptime, answered at once. */
#include "agent/agent.h"
#include "agent/ops/ops.h"

static void ping_start(struct conn *c, struct request *req)
{
    size_t start = wire_begin(&c->out, WIRE_PONG);
    (void)buf_u32(&c->out, WIRE_VERSION);
    (void)buf_u64(&c->out, (loop_now() - c->agent->started_at) / 1000);
    wire_end(&c->out, start);
    conn_finish(c);
}

const struct op op_ping = {.type = WIRE_PING, .start = ping_start};
