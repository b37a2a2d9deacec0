/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - see job.h. */
#include "cli/job.h"

#include <stdio.h>

static void cli_add_network(json *body, const struct cli_job *job)
{
    if (!job->deny_all && job->allow.count == 0)
        return;
    json *network = cJSON_AddObjectToObject(body, "network");
    cli_add_text(network, "default", "deny");
    json *allow = cJSON_AddArrayToObject(network, "allow");
    for (size_t i = 0; i < job->allow.count; i++)
        cJSON_AddItemToArray(allow, cJSON_CreateString(job->allow.items[i]));
}

/* NULL after a message. The id is owned by *ret_answer. */
static const char *cli_make_sandbox(struct cli *cli, const struct cli_job *job, json **ret_answer,
                                    int *ret_rv)
{
    cleanup_json json *body = cJSON_CreateObject();
    cli_add_text(body, "provider", "corral");
    cli_add_text(body, "region", "local");
    cli_add_text(body, "template", job->template);
    cli_add_network(body, job);
    *ret_rv = cli_call(cli, "POST", CLI_SANDBOXES, body, ret_answer);
    return *ret_rv == 0 ? cli_text(*ret_answer, "sandbox_id") : NULL;
}

/* Deletes what is at `path`, also after an interrupt, which otherwise ends requests. */
static bool cli_clean_up(struct cli *cli, const char *path)
{
    cleanup_json json *answer = NULL;
    bool interrupted = cli_http_interrupted();
    cli_http_rearm();
    int status = path != NULL ? cli_request(cli, "DELETE", path, NULL, &answer) : -CLI_FAILED;
    if (interrupted)
        (void)cli_error("interrupted");
    return status == 200;
}

static void cli_kill_sandbox(struct cli *cli, const char *id)
{
    cleanup_free char *path = cli_path(CLI_SANDBOXES, id, "");
    if (!cli_clean_up(cli, path))
        (void)cli_error("sandbox %s was not killed; it ends at its time-out", id);
}

int cli_do_job(struct cli *cli, struct cli_job *job)
{
    cleanup_json json *made = NULL;
    int rv = 0;
    const char *id = job->sandbox != NULL ? job->sandbox : cli_make_sandbox(cli, job, &made, &rv);
    if (id == NULL)
        return rv == CLI_INTERRUPTED ? rv : CLI_RUN_FAILED;
    rv = job->act(cli, job, id);
    if (made != NULL && job->keep)
        (void)fprintf(stderr, "sandbox %s\n", id);
    else if (made != NULL)
        cli_kill_sandbox(cli, id);
    return rv;
}

int cli_post_job(struct cli *cli, const struct cli_job *job, const char *route, const char *id,
                 json **ret)
{
    cleanup_free char *path = cli_path(CLI_SANDBOXES, id, route);
    int status = path != NULL ? cli_request(cli, "POST", path, job->body, ret)
                              : -cli_error("out of memory");
    if (status == -CLI_INTERRUPTED)
        return CLI_INTERRUPTED;
    if (status >= 200 && status <= 299)
        return 0;
    if (status > 0)
        (void)cli_refused(status, *ret);
    return status == 408 ? CLI_RUN_TIMEOUT : CLI_RUN_FAILED;
}

int cli_start_process(struct cli *cli, const struct cli_job *job, const char *route, const char *id,
                      int64_t *ret_pid)
{
    cleanup_json json *answer = NULL;
    int rv = cli_post_job(cli, job, route, id, &answer);
    const json *pid = cJSON_GetObjectItemCaseSensitive(answer, "pid");
    if (rv == 0 && !cJSON_IsNumber(pid))
        return CLI_RUN_FAILED;
    *ret_pid = rv == 0 ? (int64_t)pid->valuedouble : 0;
    return rv;
}

void cli_delete_process(struct cli *cli, const char *id, int64_t pid)
{
    char route[64];
    (void)snprintf(route, sizeof(route), "/processes/%lld", (long long)pid);
    cleanup_free char *path = cli_path(CLI_SANDBOXES, id, route);
    (void)cli_clean_up(cli, path); /* a process that is gone is as good */
}
