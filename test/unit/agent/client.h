/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - starts a real corral-agent on a unix socket in a directory of its own and
 * talks to it. A test may let the agent change files in that directory only. */
#ifndef CORRAL_TEST_AGENT_CLIENT_H
#define CORRAL_TEST_AGENT_CLIENT_H

#include <sys/types.h>

#include "base/wire_codec.h"

struct agent_proc {
    pid_t pid;
    unsigned int idle_fds; /* its descriptors before the first operation */
    char dir[64];          /* mode 0711; removed by agent_stop */
    char work[128];        /* below it, mode 01777: tests may write here */
};

/* `bridge`: NULL-terminated command; NULL: one that does not exist. */
void agent_start(struct agent_proc *a, const char *user, const char *const *bridge);
/* SIGTERM; it must end with status 0 (no leak, no sanitizer report) and leave no child. */
void agent_stop(struct agent_proc *a);
unsigned int agent_fds(const struct agent_proc *a);
/* Waits until the agent has as many descriptors as when it was idle. */
void agent_settle(const struct agent_proc *a);

struct client {
    int fd;
    struct wire_reader reader;
};

void client_raw(struct client *c, const struct agent_proc *a); /* connected, not greeted */
void client_open(struct client *c, const struct agent_proc *a);
void client_send(struct client *c, struct buf *b); /* all of it; empties `b` */
/* 1 and a frame; 0 when the agent has closed. Fails the test after 20 s of silence. */
int client_next(struct client *c, struct wire_frame *f);
void client_close(struct client *c);

/* The answer to a finished operation. Zeroed before, result_done after. */
struct result {
    struct buf out, err, data;
    unsigned int entries; /* ENTRY frames */
    struct buf names;     /* theirs, each followed by a newline */
    bool ok, started, exited, ended, stat, kept;
    uint64_t kept_us;
    uint32_t kept_ended;
    int exit_code;
    uint32_t signal, timed_out, error; /* error: enum wire_error, 0 none */
    char message[256], path[4200];     /* of ERROR; of WRITTEN or STAT */
    uint64_t bytes;                    /* of WRITTEN or STAT */
    uint32_t kind, mode;
};

void result_done(struct result *r);
/* Takes frames until the agent closes. Nothing may follow a final frame. */
void client_finish(struct client *c, struct result *r);

struct exec_request {
    uint32_t flags, timeout_ms;
    const char *cwd, *user;
    const char *const *argv, *const *env;
};

void put_exec(struct buf *b, const struct exec_request *req);
void put_shell(struct buf *b, const char *command, uint32_t timeout_ms);
/* A whole operation. */
void run_request(const struct agent_proc *a, struct buf *b, struct result *r);
void run_shell(const struct agent_proc *a, const char *command, struct result *r);

#endif
