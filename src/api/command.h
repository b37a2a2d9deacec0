/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - a command that runs while its request waits: its output is collected, and the surface
 * that was asked prints how it ended.
 */
#ifndef CORRAL_API_COMMAND_H
#define CORRAL_API_COMMAND_H

#include "api/api.h"
#include "wire/reply.h"
#include "wire/request.h"

#define COMMAND_GRACE_MS 5000 /* the agent's own time-out comes first */

struct command;

/* `command`, `args`, `working_dir`, `environment` and `timeout` of a body. The strings are the
 * body's; the lists are owned. */
struct command_args {
    const char *command, *cwd;
    char **args, **env;
    int64_t timeout_ms;
};

/* `default_ms` is for a client that names no time-out; no command gets more than the server allows.
 * command_args_done releases the lists, also after a failure. */
int command_parse(struct api_call *call, int64_t default_ms, struct command_args *a,
                  struct error *err);
void command_args_done(struct command_args *a);
struct wire_exec_params command_exec_params(const struct command_args *a);

/* Runs the EXEC that `request` is and calls `reply`, which answers, when the command has ended, in
 * time or not. `input` (NULL: none) is all that an EXEC with stdin finds there. Both are taken
 * over.
 */
void command_start(struct api_call *call, struct buf *request, struct buf *input,
                   uint64_t timeout_ms, void (*reply)(struct api_call *call, struct command *cmd));

/* Encodes the EXEC and runs it so, or with ?stream=true as a feed. */
void command_run(struct api_call *call, const struct wire_exec_params *params,
                 void (*reply)(struct api_call *call, struct command *cmd));

const struct wire_exit *command_exit(const struct command *cmd);
/* The members stdout and stderr, and last lines that say what is missing of them. */
void command_write_output(struct jsonw *w, struct command *cmd);
/* exit_code, duration_ms, success; timed_out when that is true, and `error` where the command did
 * not end by itself. */
void command_write_exit(struct jsonw *w, struct command *cmd);

#endif
