/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.h - starts a program as another account.
 *
 * The child is a plain fork: it drops its rights in memory of its own, and the agent does not wait
 * while a slow disk delays the exec. The status pipe brings the result: end of file once the
 * program runs, a struct spawn_failure when it cannot.
 */
#ifndef CORRAL_AGENT_SPAWN_H
#define CORRAL_AGENT_SPAWN_H

#include "agent/account.h"
#include "agent/process/tree.h"

enum spawn_stage {
    SPAWN_SETUP = 1, /* session, descriptors, credentials */
    SPAWN_DIRECTORY, /* the working directory */
    SPAWN_EXEC,      /* the program itself */
};

struct spawn_failure {
    int32_t stage;
    int32_t errnum; /* positive */
};

struct spawn {
    const struct account *account;
    char *const *argv;   /* argv[0] is searched in the PATH of `env` unless it has a slash */
    const char *program; /* run this instead of argv[0]; may be NULL */
    char *const *env;
    const char *cwd; /* "": the account's home, or / when that is missing */
    int stdin_fd;    /* the child's ends; borrowed. -1: /dev/null */
    int stdout_fd;
    int stderr_fd;
    int extra_fd;  /* becomes descriptor 3; -1: none */
    bool terminal; /* descriptor 0 becomes the controlling terminal */
    bool die_with_agent;
    const struct tree *tree; /* prepared */
};

/* Once, before the first spawn: remembers the limits that children get, then raises the agent's own
 * limit of descriptors. */
void spawn_init(void);
/* 0, the pid (of a process that leads a session and group of its own) and the reading end of the
 * status pipe, non-blocking, owned by the caller. Or a negative errno. */
int spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_status_fd);
/* Whether `name` can be executed, searched for in `path`. */
bool spawn_can_run(const char *name, const char *path);

#endif
