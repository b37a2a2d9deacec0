/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.h - the code bridge: the process that speaks to Jupyter kernels.
 *
 * The agent makes the listening socket, in a directory only it can enter, and hands it to the
 * bridge as descriptor 3: connections queue there while the bridge starts, and no process of the
 * user's can connect.
 *
 * Variables, and the seed of a clone, travel with the first request for code: a clone that runs
 * none leaves the bridge's memory alone. Each connection leads with CODE_ENV until one of them has
 * its OK, so that no code runs without.
 *
 * state     waits for                          at most            then
 * ABSENT    nothing: the command or its
 *           script is not in the template      -                  -
 * IDLE      the first request                  -                  RUNNING
 * RUNNING   the bridge's end                   -                  BACKOFF, FAILED
 * BACKOFF   the time of the next start         BRIDGE_BACKOFF_MAX RUNNING, FAILED
 * FAILED    a request; the bridge is here      -                  RUNNING
 *           after several quick ends in a row
 */
#ifndef CORRAL_AGENT_BRIDGE_H
#define CORRAL_AGENT_BRIDGE_H

#include "agent/account.h"
#include "agent/loop.h"
#include "agent/process/tree.h"

#define BRIDGE_BACKOFF_MIN  (100 * 1000ull)   /* us; doubles */
#define BRIDGE_BACKOFF_MAX  (5 * 1000000ull)  /* us */
#define BRIDGE_QUICK_US     (10 * 1000000ull) /* an end sooner than this counts as a failure */
#define BRIDGE_MAX_FAILURES 8
/* For a bridge that hangs, not for a slow machine: it takes the variables without waiting for
 * anything, once it is up. One that takes longer is killed. */
#define BRIDGE_TAKES_US (600 * 1000000ull)
#define BRIDGE_SEED_LEN 64 /* hexadecimal digits */

struct agent;

enum bridge_state { BRIDGE_ABSENT, BRIDGE_IDLE, BRIDGE_RUNNING, BRIDGE_BACKOFF, BRIDGE_FAILED };

/* Somebody who found the bridge between two starts. Embedded in its owner. */
struct bridge_waiter {
    struct list node; /* in bridge->waiting */
    /* The bridge has started, or it will not start. The waiter waits no longer. */
    void (*wake)(struct bridge_waiter *w);
};

struct bridge {
    enum bridge_state state;
    struct agent *agent;
    const char *const *command; /* borrowed */
    char socket_path[108];
    int listen_fd; /* -1 unless RUNNING */
    pid_t pid;     /* 0 unless RUNNING */
    struct tree tree;
    /* Of the variables and the seed: counts changes, and the last one that the bridge has. */
    uint64_t version, taken;
    char seed[BRIDGE_SEED_LEN + 1]; /* empty: its generators are as fresh as it is */
    unsigned int failures;
    uint64_t started_at, ended_at; /* us */
    struct timer timer;
    struct list waiting; /* bridge_waiter: told at the next start */
};

/* The bridge starts with the first request for it: kernels take seconds of CPU time, which a
 * sandbox that only runs commands never spends. */
void bridge_init(struct bridge *b, struct agent *agent, const char *const *command,
                 const char *run_dir);
void bridge_done(struct bridge *b);
/* A connection, possibly still queued. -EAGAIN: too many are queued. -ENOTCONN: it does not run
 * now. -ENOENT: there is none, or it keeps failing. */
int bridge_connect(struct bridge *b);
/* Calls `w` once, at the next start or when there will be none, unless it is cancelled before. */
void bridge_wait(struct bridge *b, struct bridge_waiter *w);
void bridge_wait_cancel(struct bridge_waiter *w);
/* True when `pid` was the bridge. */
bool bridge_reaped(struct bridge *b, pid_t pid, int wait_status);

/* The agent's variables have changed; with `reseed` the sandbox is another one, too. 0 or a
 * negative errno. */
int bridge_changed(struct bridge *b, bool reseed);
/* Appends what has to lead on a connection that is new, and tells its version; 0: nothing. */
uint64_t bridge_put_lead(const struct bridge *b, struct buf *out);
/* The bridge has taken that version; or it has not, and is killed: the next one gets the latest. */
void bridge_took(struct bridge *b, uint64_t version);
void bridge_refused(struct bridge *b, uint64_t version);

#endif
