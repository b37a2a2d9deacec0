/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress_ctl.h - the protocol between corrald and its child corral-egress, on the SOCK_SEQPACKET
 * socket that is the child's descriptor EGRESS_CTL_FD. One packet is one frame of wire.h's format
 * (u32 payload length, u16 type, u16 zero, payload); EGRESS_MAX_FRAME bounds it. corral-egress ends
 * when the socket does.
 *
 * corral-egress keeps no state: after a start the server sends SETUP once, then SANDBOX and POLICY
 * for every sandbox that lives. A sandbox without a POLICY is denied everything.
 */
#ifndef CORRAL_EGRESS_CTL_H
#define CORRAL_EGRESS_CTL_H

#include <stdint.h>

#define EGRESS_CTL_FD         3
#define EGRESS_MAX_FRAME      (128u << 10) /* bytes of a packet, header included */
#define EGRESS_MAX_RULES      1024u        /* entries of one list of a policy */
#define EGRESS_MAX_TRANSFORMS 64u          /* of a policy */

enum egress_type {
    /* Server to corral-egress. */
    EGRESS_SETUP = 0x01,   /* u32 default of the server (enum egress_default), list operator allow,
                              list operator deny, str CA certificate PEM, str CA key PEM
                              ("": no interception)  -> READY */
    EGRESS_SANDBOX = 0x02, /* str id; the packet carries one descriptor: a listening unix socket */
    EGRESS_POLICY = 0x03,  /* str id, u32 default (enum egress_default), list allow, list deny,
                              u32 log (enum egress_log), u32 flows at once, u32 new names a minute,
                              u64 bytes a second (0: any), u32 number of transforms, each: str host,
                              list methods, list path patterns, list of header names and values in
                              turn (secrets filled in). Replaces the whole policy; flows that it
                              denies are cut before the next packet is read. */
    EGRESS_DROP = 0x04,    /* str id: closes its listener and cuts its flows */
    /* corral-egress to server. */
    EGRESS_READY = 0x81, /* u32 pid */
    EGRESS_EVENT =
        0x82,            /* str id, u32 what (enum egress_what), str host as asked, str address
                            ("" when none was looked up), u16 port, u32 reason (enum egress_reason) */
    EGRESS_METER = 0x83, /* str id, u64 bytes from the network, u64 bytes to it (since SANDBOX),
                            u32 flows open now. At most once a second, and only after a change. */
    EGRESS_STATS = 0x84, /* u64 flows since the start, u32 open now, u64 lookups, u64 lookup time in
                            us, u32 count, then that many u64: denials by enum egress_reason.
                            At most once a second, and only after a change. */
};

enum egress_default { EGRESS_PUBLIC = 1, EGRESS_DENY = 2 };
enum egress_log { EGRESS_LOG_DENIED = 1, EGRESS_LOG_ALL = 2, EGRESS_LOG_NONE = 3 };
enum egress_what { EGRESS_FLOW_OPENED = 1, EGRESS_FLOW_DENIED = 2, EGRESS_NAME_DENIED = 3 };

/* Why a flow or a name was allowed or not; the order of the checks. Only append. */
enum egress_reason {
    EGRESS_OK = 0,
    EGRESS_BY_SYNTAX = 1,   /* not a host name, port 0 */
    EGRESS_BY_OPERATOR = 2, /* the server's deny list */
    EGRESS_BY_FLOOR = 3,    /* an address that no sandbox may reach */
    EGRESS_BY_RULE = 4,     /* the sandbox's deny list */
    EGRESS_BY_DEFAULT = 5,  /* no rule allows it */
    EGRESS_BY_PORT = 6,     /* port 25 without an allow of its own */
    EGRESS_BY_FLOW_LIMIT = 7,
    EGRESS_BY_NAME_LIMIT = 8,
    EGRESS_BY_INTERCEPTION =
        9, /* SNI, Host and name asked differ, or the peer is not who it says */
    EGRESS_REASON_COUNT
};

#endif
