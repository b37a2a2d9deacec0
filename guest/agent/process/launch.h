/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h - starts a process as a request says: the account, the environment, the terminal. */
#ifndef CORRAL_AGENT_PROCESS_LAUNCH_H
#define CORRAL_AGENT_PROCESS_LAUNCH_H

#include "agent/process/table.h"
#include "agent/request.h"

struct agent;

struct launch_error {
    enum wire_error code;
    char message[256];
};

/* An EXEC or PROCESS_START. Takes argv and cwd out of the request. `ring`: bytes of output to keep.
 * NULL, with *ret_error filled, on failure. */
struct process *launch_process(struct agent *a, struct request *req, const char *tag, size_t ring,
                               struct launch_error *ret_error);

#endif
