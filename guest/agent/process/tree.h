/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - everything that descends from one process, also what has left its group and session.
 *
 * With a writable cgroup2 (always in a microVM, where the agent mounts it) a tree has a control
 * group of its own, which none of it can leave. Without one a process belongs to the tree when
 *   - it carries the tree's mark, a limit that children inherit and that takes a right to raise
 *     (RLIMIT_RTTIME, which means nothing to processes without real-time priority), or
 *   - its session is that of the tree's first process.
 * A double fork and setsid() change neither the control group nor the mark.
 */
#ifndef CORRAL_AGENT_PROCESS_TREE_H
#define CORRAL_AGENT_PROCESS_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/base.h"

struct tree {
    pid_t leader;       /* leads the session; 0: not started */
    uint64_t mark;      /* 0: none */
    int cgroup_fd;      /* its directory; -1: none */
    uint64_t oom_kills; /* of the machine or container, when the tree began */
};

/* A session alone: no group, no mark. */
#define TREE_NONE                                                                                  \
    (struct tree)                                                                                  \
    {                                                                                              \
        .cgroup_fd = -1                                                                            \
    }

/* Once, at the agent's start: finds out whether there can be control groups. */
void trees_init(void);

/* Before the fork. `id` is unique among the trees of this agent and not 0. */
void tree_prepare(struct tree *t, uint64_t id);
/* In the child, while it has the agent's rights. */
void tree_enter(const struct tree *t);
/* SIGKILL to everything, until nothing is left or for a bounded number of rounds. `leader` must not
 * be reaped yet, so that its number cannot be another process's. */
void tree_kill(const struct tree *t);
void tree_signal(const struct tree *t, int sig);
/* Whether something of the tree was killed for lack of memory, as far as the agent can see. */
bool tree_had_oom_kill(const struct tree *t);
void tree_done(struct tree *t); /* idempotent; kills nothing */

#endif
