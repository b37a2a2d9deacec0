/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - the process corral-egress: started, watched, started again, ended.
 *
 *   NEW ─▶ STARTING ─▶ UP ─▶ LOST ─▶ WAITING ─▶ STARTING
 *              │              ▲ │
 *              └──────────────┘ └▶ ENDED (after network_link_stop)
 *
 * state      waits for                        bounded by      then
 * STARTING   READY                            LINK_READY_MS   UP, or LOST
 * UP         its end, or a broken packet      -               LOST
 * LOST       the process's exit: it is killed -               WAITING, or ENDED
 * WAITING    the pause, longer each time      LINK_PAUSE_MAX_MS STARTING
 *
 * The link keeps nothing of what it sends. A new process knows nothing: `started` is called, and
 * then `writable` whenever a packet can go out.
 */
#ifndef CORRAL_NETWORK_LINK_H
#define CORRAL_NETWORK_LINK_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "base/error.h"
#include "network/packet.h"

#define LINK_READY_MS     10000 /* on a loaded machine */
#define LINK_STOP_MS      2000
#define LINK_PAUSE_MIN_MS 100
#define LINK_PAUSE_MAX_MS 10000
#define LINK_STEADY_MS    30000 /* a process that lived this long has not failed at its start */

struct network_link;

struct network_link_ops {
    void (*started)(struct network_link *l);  /* a new process; SETUP must be the first packet */
    void (*writable)(struct network_link *l); /* send what there is to send */
    void (*packet)(struct network_link *l, struct packet *p); /* may take over what it owns */
};

/* Its program; strings must outlive the link. */
struct network_program {
    const char *path;
    const char *ca_file; /* "": none */
    bool debug;
};

enum link_state { LINK_NEW, LINK_STARTING, LINK_UP, LINK_LOST, LINK_WAITING, LINK_ENDED };

struct network_link {
    uv_loop_t *loop;
    const struct network_link_ops *ops;
    struct network_program program;
    enum link_state state;
    bool stopping;
    bool running; /* the process has not exited */
    int fd;
    unsigned int open; /* handles of this process that are not closed */
    unsigned int pause_ms;
    uint64_t started_ns;
    uv_process_t process;
    uv_poll_t poll;
    uv_timer_t timer;
    void (*stopped)(struct network_link *l);
    uint8_t *input; /* EGRESS_MAX_FRAME bytes */
};

/* 0 or -ENOMEM; the first start happens on the loop. */
int network_link_init(struct network_link *l, uv_loop_t *loop,
                      const struct network_program *program, const struct network_link_ops *ops);
/* Sends a packet, with a copy of descriptor `fd` (or -1). 0; -EAGAIN, then `writable` follows; or
 * another negative errno, and the process is started again. */
int network_link_send(struct network_link *l, const struct buf *packet, int fd);
/* Takes the process for lost: it is killed, and another one is started. */
void network_link_restart(struct network_link *l, const char *why);
/* Ends the process; `stopped` is called once it has exited. */
void network_link_stop(struct network_link *l, void (*stopped)(struct network_link *l));

#endif
