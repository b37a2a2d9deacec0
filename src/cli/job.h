/* SPDX-License-Identifier: Apache-2.0 */
/* job.h - something to be done in a sandbox: a given one, or a new one that goes with it. */
#ifndef CORRAL_CLI_JOB_H
#define CORRAL_CLI_JOB_H

#include "cli/http.h"

#define CLI_SANDBOXES "/v1/agents/sandboxes"

struct cli_job {
    const char *sandbox; /* --sandbox; NULL: make one */
    const char *template;
    const char *timeout; /* s */
    struct cli_list env;
    struct cli_list allow; /* hosts of a new sandbox; all others are denied */
    bool deny_all;
    bool keep;  /* do not kill the sandbox that was made */
    json *body; /* the request, owned */
    /* Does it in that sandbox; an exit status. */
    int (*act)(struct cli *cli, struct cli_job *job, const char *id);
};

/* The exit status of `act`, or of what failed before. */
int cli_do_job(struct cli *cli, struct cli_job *job);

/* The answer to the job's body in *ret. 0, or an exit status after a message. */
int cli_post_job(struct cli *cli, const struct cli_job *job, const char *route, const char *id,
                 json **ret);
/* The same for a route that starts a process. */
int cli_start_process(struct cli *cli, const struct cli_job *job, const char *route, const char *id,
                      int64_t *ret_pid);
/* Forgets a process and ends it if it still runs. */
void cli_delete_process(struct cli *cli, const char *id, int64_t pid);

#endif
