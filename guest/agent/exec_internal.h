/* SPDX-License-Identifier: Apache-2.0 */
/* exec_internal.h - a command, for the files that run it. */
#ifndef CORRAL_AGENT_EXEC_INTERNAL_H
#define CORRAL_AGENT_EXEC_INTERNAL_H

#include "agent/account.h"
#include "agent/conn.h"
#include "agent/ops/exec.h"
#include "agent/request.h"
#include "wire.h"

#define EXEC_NAME_MAX 256

enum exec_state { EXEC_SPAWNING, EXEC_RUNNING, EXEC_DRAINING, EXEC_GRACE };

struct exec;

struct exec_output {
    struct source source; /* first */
    struct exec *exec;
    enum wire_type type; /* STDOUT or STDERR */
    size_t owed; /* bytes that were in the pipe when the main process ended, still to read */
};

struct exec {
    struct conn *conn;
    enum exec_state state;
    struct list node; /* in agent->execs until reaped */
    pid_t pid;
    bool alive; /* not reaped */
    bool has_stdin, stdin_ended;
    bool limited; /* the request has a time-out */
    bool killed;  /* it has passed */
    int wait_status;
    uint64_t started_at, duration; /* us */
    struct source status;
    struct source in;
    struct buf in_pending; /* at most one frame */
    struct exec_output out[2];
    struct timer timer;
    char name[EXEC_NAME_MAX];
};

/* Makes the pipes and starts the process; `status` says what became of it. 0 or a negative errno.
 */
int exec_spawn(struct exec *e, const struct request *req, const struct account *account);

#endif
