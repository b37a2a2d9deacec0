/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.h - the sandbox's network: names travel, not packets.
 *
 * Theory of operation. All traffic of the sandbox is routed into a TUN that the agent reads. Names
 * resolve to addresses of a private pool, which mean something only here (names.h, resolver.h). A
 * connection's first packet is held while corral-egress connects to the name (tcpflow.h); then the
 * packets are translated so that the connection ends in a socket of the agent's (nat.h), and its
 * bytes travel over vsock or a unix socket. Everything else is refused at once, with the error that
 * a network would give.
 *
 * It runs in a thread of its own, so that no command's output ever delays a packet, and shares with
 * the rest of the agent one descriptor that tells it to end. Its tables are static, hence bounded,
 * and are in the sandbox's memory: they survive snapshots and forks. While nothing happens no timer
 * runs.
 */
#ifndef CORRAL_AGENT_NET_NET_H
#define CORRAL_AGENT_NET_NET_H

struct net_options {
    const char *tun;    /* "tun:NAME": made here; "fd:T,L": TUN and listener, inherited. NULL: no
                           network */
    const char *egress; /* "vsock:PORT" or "unix:PATH" */
};

/* Whether the options can be meant; both or none. */
int net_check(const struct net_options *o);
/* Starts the thread; nothing without options. 0 or a negative errno, logged: a sandbox without its
 * network is still of use. */
int net_start(const struct net_options *o);
/* Resets all flows, ends the thread, and closes the TUN: where this process has made the interface,
 * it is gone. */
void net_stop(void);

#endif
