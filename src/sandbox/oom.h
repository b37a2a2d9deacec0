/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oom.h - whether the limit on a sandbox's memory has ended a run. The agent tells by itself where
 * it can; of containers on a host with cgroup v1 only the host's counter knows.
 */
#ifndef CORRAL_SANDBOX_OOM_H
#define CORRAL_SANDBOX_OOM_H

#include "sandbox/sandbox.h"
#include "wire/reply.h"

struct sandbox_oom {
    bool known;
    uint64_t kills; /* in the sandbox so far */
};

/* Before the run. */
void sandbox_oom_mark(struct sandbox_oom *o, const struct sandbox *sb);
/* After it: sets the cause of a process that was killed while the kernel has killed for memory. A
 * shell that runs a killed command says so by its exit code. */
void sandbox_oom_judge(const struct sandbox_oom *o, const struct sandbox *sb,
                       struct wire_exit *how);

#endif
