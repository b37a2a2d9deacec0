/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_conn.h - one connection of a sandbox to corral-egress, from its first frame to its end.
 *
 *   READING ─▶ RESOLVING ─▶ CONNECTING ─▶ RELAYING ─▶ CLOSING ─▶ CLOSED
 *      │  └──────(address)──────▲ │ ▲                                ▲
 *      │                          └─┘ next address                   │
 *      └─▶ ANSWERING ────────────────────────────────────────────────┘
 *
 * state       waits for                          bounded by           then
 * READING     the first frame                    EGRESS_OPEN_MS       RESOLVING, CONNECTING for an
 *                                                                     address, ANSWERING for a
 *                                                                     RESOLVE
 * RESOLVING   the addresses of its name          EGRESS_RESOLVE_MS    CONNECTING
 * CONNECTING  one address to answer              EGRESS_CONNECT_MS,   RELAYING, or CONNECTING to
 * the EGRESS_DIAL_MS       next address RELAYING    bytes of either side (relay.h)     TCP
 * keepalive        CLOSING when the network's side was reset CLOSING     the sandbox to take what
 * is left   EGRESS_FLUSH_MS      CLOSED ANSWERING   questions and answers (query.h)    its tenant's
 * caps    CLOSED
 *
 * Every state goes to CLOSED when the sandbox's side goes away, when the sandbox is dropped or when
 * a frame comes that the state does not allow. A flow that a new policy denies is cut in
 * CONNECTING, RELAYING and CLOSING; in RESOLVING the new policy judges what comes out.
 *
 * The name is resolved once. Each address is judged, and the socket is connected to the very
 * address that passed: a name server that answers differently the next time changes nothing.
 *
 * Memory: this structure, and buffers only while bytes wait in them.
 */
#ifndef CORRAL_EGRESS_FLOW_CONN_H
#define CORRAL_EGRESS_FLOW_CONN_H

#include "egress/frame.h"
#include "egress/resolve.h"
#include "egress/watch.h"
#include "flow.h"

#define FLOW_SNDBUF     (256 << 10) /* of the socket to the sandbox; the kernel doubles it */
#define FLOW_NOTSENT    (128 << 10) /* bytes to the network that the kernel holds unsent */
#define FLOW_RCVBUF     (512 << 10) /* of the socket to the network; at most net.core.rmem_max */
#define FLOW_KEEP_IDLE  120         /* s of silence before the first probe */
#define FLOW_KEEP_NEXT  30          /* s between probes */
#define FLOW_KEEP_COUNT 4

enum flow_state {
    FLOW_READING,
    FLOW_RESOLVING,
    FLOW_CONNECTING,
    FLOW_RELAYING,
    FLOW_INTERCEPTING, /* intercept.h */
    FLOW_CLOSING,
    FLOW_ANSWERING,
    FLOW_CLOSED,
};

/* Bytes that could not be passed on yet. */
struct flow_rest {
    uint8_t *data; /* owned; NULL when there are none */
    size_t at, len;
};

/* A socket as its edges have left it. */
struct flow_side {
    struct watch watch;
    bool readable, writable;
    bool ended; /* the other end has closed or failed: reading is not over before it says so */
};

/* Only while the flow is on its way. */
struct flow_dial {
    struct resolve_wait wait;
    struct flow *flow;
    size_t count, next;
    uint64_t until_ms;
    enum flow_refusal refusal; /* of the best address that was tried; 0: none was */
    int denied;                /* enum egress_reason of the first that was not; 0: none */
    char denied_text[ADDRESS_TEXT];
    struct address addresses[RESOLVE_MAX_ADDRESSES];
};

struct tenant;

struct flow {
    struct list node; /* in tenant->flows */
    struct tenant *tenant;
    enum flow_state state;
    struct watch_task task; /* what is left to relay or to answer */
    struct watch_task reap;
    struct watch_deadline deadline;
    struct flow_side down, up;           /* to the sandbox, to the network */
    struct flow_rest from_down, to_down; /* frames not carried out, frames not sent */
    struct frame_walk walk;
    bool counted;          /* in tenant->open */
    bool fin_up, fin_down; /* the end of that direction was passed on */
    bool up_broken;        /* the network takes no more */
    bool passed;           /* relayed although its host has transforms */
    bool own;              /* the address is this host's */
    uint16_t port;
    char *host; /* as asked, made printable; owned */
    char *name; /* in its one spelling; NULL for an address; owned */
    struct address address;
    size_t moved;                /* bytes in this turn */
    struct flow_dial *dial;      /* owned */
    struct intercept *intercept; /* owned; in INTERCEPTING */
    struct list queries;         /* struct query, in ANSWERING */
    size_t query_count;
};

/* Takes an accepted connection over. */
void flow_start(struct tenant *t, int fd);
/* Cuts the flow if its sandbox's policy now denies it. */
void flow_judge(struct flow *f);
/* Ends both sides with RST, at once. */
void flow_cut(struct flow *f);

/* For relay.c and query.c. */
void flow_close(struct flow *f);    /* both sides, as they are */
void flow_reset_up(struct flow *f); /* the network sees RST */
void flow_flush(struct flow *f);    /* CLOSING: sends what is left, then closes */
/* Sends what is left to the sandbox. True when nothing is left; may set down.writable to false. */
bool flow_flush_down(struct flow *f);
/* Sends bytes to the sandbox or keeps them. -EPIPE when it is gone, -ENOMEM. */
int flow_send_down(struct flow *f, const void *data, size_t len);
int flow_send_head(struct flow *f, enum flow_type type);

int flow_rest_set(struct flow_rest *r, const void *data, size_t len);
int flow_rest_add(struct flow_rest *r, const void *data, size_t len);
void flow_rest_take(struct flow_rest *r, size_t len);
static inline size_t flow_rest_len(const struct flow_rest *r)
{
    return r->len - r->at;
}

void flow_on_deadline(struct watch_deadline *d);

/* flow_dial.c: from a host to a connected socket. */
void flow_dial_open(struct flow *f, const struct frame_first *first);
void flow_dial_event(struct flow *f); /* the socket that connects has news */
void flow_dial_late(struct flow *f);
void flow_dial_drop(struct flow *f);
void flow_refuse(struct flow *f, enum flow_refusal refusal);
/* What is asked for, as text for events. Owned by the caller. */
char *flow_host_text(struct span host);

#endif
