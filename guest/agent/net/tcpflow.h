/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcpflow.h - TCP flows: a program's connection, and for each one connection to corral-egress,
 * which names where it goes (include/flow.h).
 *
 * The program's SYN is held until the host says OPENED or REFUSED; the program sees exactly that.
 * Then bytes go both ways with back-pressure, each direction ends on its own, and what breaks on
 * one side is reset on the other.
 *
 * An idle flow holds two sockets and a slot. Memory for bytes exists only while bytes wait: at most
 * two frames of FLOW_CHUNK a direction, and what the sockets' capped buffers hold.
 */
#ifndef CORRAL_AGENT_NET_TCPFLOW_H
#define CORRAL_AGENT_NET_TCPFLOW_H

#include "agent/net/frames.h"
#include "agent/net/host.h"
#include "agent/net/names.h"
#include "agent/net/nat.h"
#include "agent/net/poll.h"
#include "agent/net/tun.h"
#include "base/buf.h"

#define FLOW_CHUNK     65536u
#define FLOW_ACCEPT_MS 5000u   /* the program has given up when it has not shaken hands by then */
#define FLOW_SYN_MS    1000u   /* until the kernel first repeats a SYN */
#define FLOW_HOLD_MS   130000u /* the kernel repeats a SYN for 127 seconds */
#define FLOW_DRAIN_MS  500u    /* for a program to take the data before a reset */
#define FLOW_STEP_MS   10u

enum flow_state {
    FLOW_S_FREE,
    /* Connecting to the host. Ends in HELD, or refused. */
    FLOW_S_CONNECTING,
    /* OPEN is sent or waits to be. Ends in ADMITTED or refused. */
    FLOW_S_HELD,
    /* OPENED came: the SYN is on its way to the listener. The host is not read. Ends in RELAYING,
     * or closed when the program gave up. */
    FLOW_S_ADMITTED,
    /* Both sockets are there. Ends closed when both directions have ended, or in DRAINING. */
    FLOW_S_RELAYING,
    /* The host's side is closed. What the program's socket still holds is acknowledged, or time is
     * up; then it is reset. */
    FLOW_S_DRAINING,
};

struct flow {
    struct flows *all;
    struct list node; /* free, or in use */
    enum flow_state state;
    struct nat_entry *entry; /* while not FREE */
    struct poll_source app, host;
    struct poll_timer timer;
    struct frames frames;
    struct buf to_host; /* framed; the rest of what a send did not take */
    struct buf to_app;  /* not parsed; the rest of what a receive brought */
    bool app_ended;     /* the program sent FIN: FIN is sent or in `to_host` */
    bool host_ended;    /* the host sent FIN: the program's socket is shut */
    uint8_t syn[PACKET_SYN_MAX];
    size_t syn_len;
    unsigned int waited_ms; /* to connect, or to drain */
};

struct flows {
    struct poll *poll;
    struct tun *tun;
    struct nat *nat;
    struct names *names;
    const struct host *host;
    struct list free, used;
    struct flow slots[NAT_LIVE_MAX];
    uint8_t chunk[2 * (FRAMES_HEADER + FLOW_CHUNK)]; /* shared: no flow keeps bytes here */
};

void flows_init(struct flows *all);
/* Resets every flow. */
void flows_done(struct flows *all);

/* A new entry and its SYN. */
void flow_start(struct flows *all, struct nat_entry *entry, struct packet *syn);
/* The listener has accepted; takes the descriptor. */
void flow_accepted(struct flow *f, int fd);
/* The program is gone before that. */
void flow_given_up(struct flow *f);
/* Drops held flows whose program has stopped asking. How many. */
unsigned int flows_drop_abandoned(struct flows *all);

/* Between tcpflow.c and tcpflow_relay.c. */
void flow_opened(struct flow *f);
void flow_refuse(struct flow *f, uint32_t reason); /* enum flow_refusal */
void flow_close(struct flow *f);
/* The host's side is over: reset the program's. */
void flow_reset_app(struct flow *f);
/* The program's side is over: reset the host's. */
void flow_reset_host(struct flow *f);

/* tcpflow_relay.c */
void flow_handle_host(struct poll_source *s, uint32_t events);
void flow_handle_app(struct poll_source *s, uint32_t events);
/* Moves what can be moved and watches for what cannot. The flow may be gone afterwards. */
void flow_move(struct flow *f);
/* Closes with RST instead of FIN. */
void flow_abort_socket(struct poll *poll, struct poll_source *s);

#endif
