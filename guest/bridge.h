/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.h - the code bridge: the process that speaks to Jupyter kernels.
 *
 * The agent makes the listening socket, in a directory only it can enter, and hands it to the
 * bridge as descriptor 3: connections queue there while the bridge starts, and no process of the
 * user's can connect. It is told the sandbox's variables, and a new seed after a restore, by
 * CODE_ENV before the next request goes to it, and not earlier: that of a clone which runs no code
 * shares its memory with the others.
 *
 * state     waits for                          at most            then
 * ABSENT    nothing: the command or its
 *           script is not in the template      -                  -
 * IDLE      the first request                  -                  RUNNING
 * RUNNING   the bridge's end                   -                  BACKOFF, FAILED
 * BACKOFF   the time of the next start         BRIDGE_BACKOFF_MAX RUNNING, FAILED
 * FAILED    a request, after several quick     -                  RUNNING
 *           ends in a row
 */
#ifndef CORRAL_AGENT_BRIDGE_H
#define CORRAL_AGENT_BRIDGE_H

#include "account.h"
#include "loop.h"

#define BRIDGE_BACKOFF_MIN  (100 * 1000ull)   /* us; doubles */
#define BRIDGE_BACKOFF_MAX  (5 * 1000000ull)  /* us */
#define BRIDGE_QUICK_US     (10 * 1000000ull) /* an end sooner than this counts as a failure */
#define BRIDGE_MAX_FAILURES 8

struct agent;

enum bridge_state { BRIDGE_ABSENT, BRIDGE_IDLE, BRIDGE_RUNNING, BRIDGE_BACKOFF, BRIDGE_FAILED };

struct bridge {
    enum bridge_state state;
    struct agent *agent;
    const char *const *command; /* borrowed */
    char socket_path[108];
    int listen_fd; /* -1 unless RUNNING */
    pid_t pid;     /* 0 unless RUNNING */
    bool up;       /* it has answered a request of ours since its start */
    bool stale;    /* it has to be told the variables */
    bool reseed;   /* with a seed */
    unsigned int failures;
    uint64_t started_at, ended_at; /* us */
    struct timer timer;
    struct bridge_call *call; /* it is being told; or NULL */
    struct list waiting;      /* op_code.c: requests to connect when that has changed */
};

/* The bridge starts with the first request for it: kernels take seconds of CPU time, which a
 * sandbox that only runs commands never spends. */
void bridge_init(struct bridge *b, struct agent *agent, const char *const *command,
                 const char *run_dir);
void bridge_done(struct bridge *b);
/* The agent's variables are new; `reseed`: and this is another clone. */
void bridge_configured(struct bridge *b, bool reseed);
/* A connection, possibly still queued. -EAGAIN: too many are queued. -ENOTCONN: it does not run
 * now. -EINPROGRESS: it is being told the variables, which takes BRIDGE_FIRST_CALL_US at most.
 * After these two code_bridge_changed() tells when to ask again. -ENOENT: there is none, or it
 * keeps failing. */
int bridge_connect(struct bridge *b);
/* The same for CODE_ENV itself. */
int bridge_dial(const struct bridge *b);
/* True when `pid` was the bridge. */
bool bridge_reaped(struct bridge *b, pid_t pid, int wait_status);

#endif
