/* SPDX-License-Identifier: Apache-2.0 */
/* exec.h - what the loop tells a command (exec.c): its pipes are ready, its process has ended. */
#ifndef CORRAL_AGENT_OPS_EXEC_H
#define CORRAL_AGENT_OPS_EXEC_H

#include "agent/loop.h"

struct agent;

void exec_handle_status(struct source *s);
void exec_handle_stdin(struct source *s, uint32_t events);
void exec_handle_output(struct source *s);
/* A child was reaped. True when it was the main process of a command. */
bool exec_reaped(struct agent *a, pid_t pid, int wait_status);

#endif
