/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.h - the code bridge: the process that speaks to Jupyter kernels.
 *
 * The agent makes the listening socket, in a directory only it can enter, and hands it to the
 * bridge as descriptor 3: connections queue there while the bridge starts, and no process of the
 * user's can connect. The first connection after each start carries CODE_ENV, so that no code runs
 * without the sandbox's variables.
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
#define BRIDGE_CALLS_MAX    8
/* Both are for a bridge that hangs, not for a slow machine: a bridge answers without waiting for
 * anything. A bridge that takes longer is killed. */
#define BRIDGE_CALL_US       (100 * 1000000ull) /* when it is up */
#define BRIDGE_FIRST_CALL_US (600 * 1000000ull) /* when it is starting */

struct agent;
struct bridge_call;

enum bridge_state { BRIDGE_ABSENT, BRIDGE_IDLE, BRIDGE_RUNNING, BRIDGE_BACKOFF, BRIDGE_FAILED };

enum bridge_answer {
    BRIDGE_AGREED,
    BRIDGE_REFUSED, /* it answered ERROR, or nonsense */
    BRIDGE_GONE,    /* it ended, or hung and was killed: the next one starts with these variables */
};

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
    bool up; /* it has answered a request of ours since its start */
    unsigned int failures;
    uint64_t started_at, ended_at; /* us */
    struct timer timer;
    struct list calls; /* requests that the bridge has not answered yet */
    unsigned int call_count;
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
bool bridge_is_up(const struct bridge *b);
/* True when `pid` was the bridge. */
bool bridge_reaped(struct bridge *b, pid_t pid, int wait_status);

/* Sends the variables, and a fresh random seed with `reseed`. `answered` (may be NULL) is called
 * once, never from inside this call, unless `*ret` (may be NULL) is forgotten before. A bridge that
 * does not run now needs no call, because it starts with the variables: the result is 0, and
 * neither *ret nor `answered` is used. Negative errno: not sent. */
int bridge_call_env(struct bridge *b, char *const *env, bool reseed,
                    void (*answered)(void *ctx, enum bridge_answer answer), void *ctx,
                    struct bridge_call **ret);
/* `answered` will not be called. */
void bridge_call_forget(struct bridge_call *call);
void bridge_call_handle_event(struct source *s, uint32_t events);

#endif
