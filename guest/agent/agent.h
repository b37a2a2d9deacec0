/* SPDX-License-Identifier: Apache-2.0 */
/* agent.h - what all connections share, and the loop that serves them. */
#ifndef CORRAL_AGENT_AGENT_H
#define CORRAL_AGENT_AGENT_H

#include "agent/account.h"
#include "agent/bridge.h"
#include "agent/kept.h"
#include "agent/listener.h"
#include "agent/loop.h"
#include "agent/sink.h"

#define AGENT_MAX_CONNS 512

struct agent {
    struct loop loop;
    struct listener listener;
    struct source signals;
    struct account account; /* the default user */
    char **env;             /* owned: from CONFIGURE; NULL: none */
    struct list conns;
    unsigned int conn_count;
    unsigned int greeting_count;
    struct list execs; /* op_exec.c: those whose main process is alive */
    struct sinks sinks;
    struct kepts kepts;
    struct bridge bridge;
    uint64_t started_at; /* us, monotonic */
    bool stopping;
};

struct agent_options {
    const char *listen;        /* fd:N, unix:PATH or vsock:PORT */
    const char *user;          /* default user; the agent's own when there is no such account */
    const char *run_dir;       /* for the bridge's socket */
    const char *const *bridge; /* NULL-terminated command */
};

/* 0 or a negative errno, logged. */
int agent_init(struct agent *a, const struct agent_options *options);
/* Serves until SIGTERM or SIGINT. */
int agent_run(struct agent *a);
void agent_done(struct agent *a);

void agent_conn_closed(struct agent *a); /* conn.c: there is room for one more */

#endif
