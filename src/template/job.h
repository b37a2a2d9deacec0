/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job.h - one child process of the server that prints lines: corrald itself with a sub command. The
 * child ends with the server, however the server ends.
 */
#ifndef CORRAL_TEMPLATE_JOB_H
#define CORRAL_TEMPLATE_JOB_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"

#define TEMPLATE_JOB_LINE 1024 /* bytes; the rest of a longer line is dropped */

/* Embedded in its owner, zeroed before the first start. The fields are job.c's alone. */
struct template_job {
    uv_process_t process;
    uv_pipe_t output;
    int open; /* handles; 0: nothing runs */
    bool ended, failed;
    struct buf line;
    /* A line of its standard error, without the line feed; not empty. */
    void (*said)(struct template_job *job, const char *line);
    /* Nothing is left of it; another may be started. */
    void (*done)(struct template_job *job, bool ok);
};

/* Starts `corrald args...`; `args` ends with NULL and begins with the program's name. The child is
 * told the server's pid by --parent. 0, or a negative errno and `done` is called all the same. */
int template_job_start(struct template_job *job, uv_loop_t *loop, char **args);
static inline bool template_job_runs(const struct template_job *job)
{
    return job->open > 0;
}
/* Sends a signal to it. Nothing happens when it has ended. */
void template_job_signal(struct template_job *job, int signum);

#endif
