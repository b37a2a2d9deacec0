/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - runs an agent: the program's loop, from the first connection to the last. */
#ifndef CORRAL_AGENT_SERVE_H
#define CORRAL_AGENT_SERVE_H

#include "agent/agent.h"

#define SERVE_MAX_CONNS 512 /* more wait in the listen queue */

struct serve_options {
    const char *listen;        /* fd:N, unix:PATH or vsock:PORT */
    const char *user;          /* default user; the agent's own when there is no such account */
    const char *run_dir;       /* for the bridge's socket */
    const char *const *bridge; /* NULL-terminated command */
};

/* 0 or a negative errno, logged. serve_done is due in both cases. */
int serve_init(struct agent *a, const struct serve_options *options);
/* Returns 0 after SIGTERM or SIGINT, or a negative errno. */
int serve_run(struct agent *a);
void serve_done(struct agent *a);

#endif
