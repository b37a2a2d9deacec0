/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - CODE_* and CONTEXT_*: the request goes to the bridge byte for byte as it arrives, and
 * the bridge's answer comes back. The agent reads the header only.
 *
 * The happy path is: bridge_connect gives a socket, what the bridge does not know yet leads, and
 * the relay moves bytes until the bridge closes it.
 * Possible failure modes are: the bridge is between two starts (WAITING), there is none or it keeps
 * failing (ERROR), it ends before it answered (the relay answers ERROR), the server closes (so does
 * the relay, and the bridge ends the run).
 *
 * state    waits for                              at most
 * WAITING  the next start of a bridge that died   CODE_WAIT_US
 * RELAYING the OK for what leads                  BRIDGE_TAKES_US
 *          bytes; the end of either side is the   the request's own time-out, which the
 *          end of both                            bridge keeps
 */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/bridge.h"
#include "agent/conn.h"
#include "agent/ops/ops.h"
#include "agent/relay.h"

#define CODE_WAIT_US (30 * 1000000ull)

struct code {
    struct relay relay; /* first */
    struct bridge_waiter waiter;
    uint64_t version; /* of the variables that lead */
};

static void code_connect(struct code *k);
static void code_bridge_changed(struct bridge_waiter *w);

static void code_start(struct conn *c, struct request *req)
{
    struct code *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        conn_errno(c, -ENOMEM, "code bridge");
        return;
    }
    c->op_state = k;
    relay_init(&k->relay, c, true);
    list_init(&k->waiter.node);
    k->waiter.wake = code_bridge_changed;
    code_connect(k);
}

static void code_led(struct relay *r, bool taken)
{
    struct code *k = container_of(r, struct code, relay);
    struct bridge *b = r->conn->agent->bridge;
    if (taken)
        bridge_took(b, k->version);
    else if (!r->answered) /* otherwise the server gets to know why */
        bridge_refused(b, k->version);
}

static void code_relay(struct code *k)
{
    struct buf lead = {0};
    k->version = bridge_put_lead(k->relay.conn->agent->bridge, &lead);
    timer_stop(&k->relay.timer);
    if (k->version != 0)
        relay_lead(&k->relay, &lead, BRIDGE_TAKES_US, code_led);
    relay_start(&k->relay);
}

static void code_connect(struct code *k)
{
    struct conn *c = k->relay.conn;
    struct bridge *b = c->agent->bridge;
    int fd = bridge_connect(b);
    if (fd >= 0) {
        k->relay.far.fd = fd;
        code_relay(k);
    } else if (fd == -ENOTCONN) {
        bridge_wait(b, &k->waiter);
        conn_pause_input(c, true);
        if (list_empty(&k->relay.timer.node))
            loop_timer_start(&c->agent->loop, &k->relay.timer, CODE_WAIT_US);
    } else if (fd == -EAGAIN) {
        conn_error(c, WIRE_E_BUSY, "the code bridge has too many requests waiting");
    } else {
        conn_error(c, WIRE_E_UNAVAILABLE,
                   b->state == BRIDGE_ABSENT ? "this template has no code bridge"
                                             : "the code bridge does not run");
    }
}

static void code_bridge_changed(struct bridge_waiter *w)
{
    code_connect(container_of(w, struct code, waiter));
}

static void code_raw_event(struct conn *c, uint32_t events)
{
    struct code *k = c->op_state;
    relay_handle_near(&k->relay, events);
}

static void code_stop(struct conn *c)
{
    struct code *k = c->op_state;
    if (k == NULL)
        return;
    bridge_wait_cancel(&k->waiter);
    relay_done(&k->relay);
}

const struct op op_code = {
    .type = WIRE_CODE_FIRST, .start = code_start, .raw_event = code_raw_event, .stop = code_stop};
