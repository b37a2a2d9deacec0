/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h - the protocol between the agent in a sandbox and corral-egress (corral-egress(8)): names
 * travel, not packets.
 *
 * The agent connects to host port FLOW_PORT: over vsock, where the VMM hands the connection to the
 * unix socket `vsock.sock_<port>` in the sandbox's directory, or to that kind of socket directly in
 * a container. The listening socket tells corral-egress which sandbox it talks to; nothing that the
 * sandbox sends does.
 *
 * Framing and field types are those of wire.h: u32 payload length, u16 type, u16 zero, payload,
 * little-endian; a frame whose fields do not exactly fill its payload ends the connection. No frame
 * is longer than FLOW_MAX_PAYLOAD. The first frame says what the connection is:
 *
 *   OPEN      one TCP flow. The answer is OPENED or REFUSED. After OPENED both sides send DATA; FIN
 *             ends one direction (half-close), RST ends both. A connection that ends without FIN or
 *             RST counts as RST: on vsock the two look alike.
 *   RESOLVE   the resolver's connection: any number of RESOLVE, each answered by one RESOLVED in
 * any order, at most FLOW_MAX_QUERIES under way.
 *
 * Both ends treat the other as hostile.
 */
#ifndef CORRAL_FLOW_H
#define CORRAL_FLOW_H

#define FLOW_PORT        1025u  /* vsock port of the host that corral-egress is reached at */
#define FLOW_MAX_PAYLOAD 65536u /* most payload bytes of a frame */
#define FLOW_MAX_NAME    253u   /* bytes of a host name, without a trailing dot */
#define FLOW_MAX_QUERIES 64u

enum flow_type {
    /* Agent to corral-egress, first. */
    FLOW_OPEN = 0x01,    /* str host: a name, or an IPv4 address as text; u16 port
                            -> OPENED | REFUSED */
    FLOW_RESOLVE = 0x02, /* u32 id, str name  -> RESOLVED */
    /* Replies. */
    FLOW_OPENED = 0x81,   /* - */
    FLOW_REFUSED = 0x82,  /* u32 reason (enum flow_refusal); ends the connection */
    FLOW_RESOLVED = 0x83, /* u32 id, u32 verdict (enum flow_verdict), u32 seconds it may be kept */
    /* Both ways after OPENED. */
    FLOW_DATA = 0x90, /* raw, 1 to FLOW_MAX_PAYLOAD bytes */
    FLOW_FIN = 0x91,  /* - no more DATA follows from this side */
    FLOW_RST = 0x92,  /* - the flow was cut; nothing follows from either side */
};

/* What the program in the sandbox sees of a refusal is for the agent to show. Only append. */
enum flow_refusal {
    FLOW_R_REFUSED = 1,     /* the host answered with RST: ECONNREFUSED */
    FLOW_R_HOST = 2,        /* no route to that host: EHOSTUNREACH */
    FLOW_R_NET = 3,         /* no route to that network: ENETUNREACH */
    FLOW_R_TIMED_OUT = 4,   /* the host did not answer in time */
    FLOW_R_DENIED = 5,      /* policy or floor: EHOSTUNREACH, administratively prohibited */
    FLOW_R_NAME = 6,        /* the name no longer resolves: EHOSTUNREACH */
    FLOW_R_LIMIT = 7,       /* too many flows of this sandbox: EHOSTUNREACH */
    FLOW_R_UNAVAILABLE = 8, /* the host side failed */
};

enum flow_verdict {
    FLOW_V_EXISTS = 1,   /* it has an address that may be connected to */
    FLOW_V_NXDOMAIN = 2, /* there is no such name */
    FLOW_V_EMPTY = 3,    /* the name exists and has no address */
    FLOW_V_DENIED = 4,   /* policy denies it; nothing was asked of any name server */
    FLOW_V_FAILED = 5,   /* no name server answered in time */
    FLOW_V_LIMIT = 6,    /* too many new names in the last minute */
};

#endif
