/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - runs a command or code in a sandbox: a given one, or a new one that is killed afterwards.
 */
#include <stdio.h>
#include <string.h>

#include "cli/http.h"

#define PATH_SANDBOXES "/v1/agents/sandboxes"
#define CLI_MAX_CODE   (16u << 20)

/* What run and code have in common. */
struct cli_job {
    const char *sandbox; /* --sandbox; NULL: make one */
    const char *template;
    const char *timeout; /* s */
    struct cli_list env;
    bool keep;         /* do not kill the sandbox that was made */
    json *body;        /* the request, owned */
    const char *route; /* "/commands/run" */
    int failed;        /* exit status when it was not run at all */
};

/* NULL after a message. The id is owned by *ret_answer. */
static const char *cli_make_sandbox(struct cli *cli, const struct cli_job *job, json **ret_answer,
                                    int *ret_rv)
{
    cleanup_json json *body = cJSON_CreateObject();
    cli_add_text(body, "provider", "corral");
    cli_add_text(body, "region", "local");
    cli_add_text(body, "template", job->template);
    *ret_rv = cli_call(cli, "POST", PATH_SANDBOXES, body, ret_answer);
    return *ret_rv == 0 ? cli_text(*ret_answer, "sandbox_id") : NULL;
}

static void cli_kill_sandbox(struct cli *cli, const char *id)
{
    cleanup_json json *answer = NULL;
    cleanup_free char *path = cli_path(PATH_SANDBOXES, id, "");
    bool interrupted = cli_http_interrupted();
    cli_http_rearm();
    if (path != NULL && cli_call(cli, "DELETE", path, NULL, &answer) != 0)
        (void)cli_error("sandbox %s was not killed; it ends at its time-out", id);
    if (interrupted)
        (void)cli_error("interrupted");
}

/* The job's answer in *ret; 0 or an exit status. */
static int cli_post_job(struct cli *cli, const struct cli_job *job, const char *id, json **ret)
{
    cleanup_free char *path = cli_path(PATH_SANDBOXES, id, job->route);
    int status = path != NULL ? cli_request(cli, "POST", path, job->body, ret)
                              : -cli_error("out of memory");
    if (status == -CLI_INTERRUPTED)
        return CLI_INTERRUPTED;
    if (status >= 200 && status <= 299)
        return 0;
    if (status > 0)
        (void)cli_refused(status, *ret);
    return status == 408 ? CLI_RUN_TIMEOUT : job->failed;
}

static int cli_do_job(struct cli *cli, const struct cli_job *job, json **ret)
{
    cleanup_json json *made = NULL;
    int rv = 0;
    const char *id = job->sandbox != NULL ? job->sandbox : cli_make_sandbox(cli, job, &made, &rv);
    if (id == NULL)
        return rv == CLI_INTERRUPTED ? rv : job->failed;
    rv = cli_post_job(cli, job, id, ret);
    if (made != NULL && job->keep)
        (void)fprintf(stderr, "sandbox %s\n", id);
    else if (made != NULL)
        cli_kill_sandbox(cli, id);
    return rv;
}

static int cli_write(FILE *to, const char *text)
{
    return fputs(text, to) < 0 ? -1 : 0;
}

int cli_run(struct cli *cli, int argc, char **argv)
{
    const char *dir = NULL;
    struct cli_job job = {.route = "/commands/run", .failed = CLI_RUN_FAILED};
    const struct cli_opt opts[] = {{"sandbox", CLI_TEXT, &job.sandbox},
                                   {"template", CLI_TEXT, &job.template},
                                   {"timeout", CLI_TEXT, &job.timeout},
                                   {"env", CLI_LIST, &job.env},
                                   {"dir", CLI_TEXT, &dir},
                                   {"keep", CLI_FLAG, &job.keep},
                                   {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    int rv = cli_parse(cli, &argc, argv, opts, true);
    if (rv == 0)
        rv = cli_expect(argc, 1, INT32_MAX);
    if (rv == 0)
        rv = cli_add_seconds(body, "timeout", job.timeout, 1000);
    if (rv == 0)
        rv = cli_add_pairs(body, "environment", &job.env);
    if (rv != 0)
        return rv;
    cli_add_text(body, "command", argv[0]);
    cli_add_text(body, "working_dir", dir);
    json *args = argc > 1 ? cJSON_AddArrayToObject(body, "args") : NULL;
    for (int i = 1; i < argc; i++)
        cJSON_AddItemToArray(args, cJSON_CreateString(argv[i]));
    job.body = body;
    rv = cli_do_job(cli, &job, &answer);
    if (rv != 0)
        return rv;
    if (cli->raw) {
        cli_print_json(answer);
    } else {
        (void)cli_write(stdout, cli_text(answer, "stdout"));
        (void)fflush(stdout);
        (void)cli_write(stderr, cli_text(answer, "stderr"));
    }
    const json *code = cJSON_GetObjectItemCaseSensitive(answer, "exit_code");
    return cJSON_IsNumber(code) ? code->valueint & 0xff : CLI_RUN_FAILED;
}

/* The whole standard input. */
static int cli_read_code(struct buf *code)
{
    char piece[65536];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0) {
        if (code->len + n > CLI_MAX_CODE || buf_append(code, piece, n) < 0)
            return cli_error("the code on standard input is too long");
    }
    if (code->len > 0 && memchr(code->data, '\0', code->len) != NULL)
        return cli_error("the code on standard input holds a NUL byte");
    return 0;
}

static void cli_print_lines(FILE *to, const json *lines)
{
    const json *line = NULL;
    cJSON_ArrayForEach(line, lines)
    {
        if (cJSON_IsString(line))
            (void)fprintf(to, "%s\n", line->valuestring);
    }
    (void)fflush(to);
}

/* The value of the last line as text; other forms of it by name only. */
static void cli_print_result(const json *answer)
{
    const json *results = cJSON_GetObjectItemCaseSensitive(answer, "results");
    const json *result = cJSON_GetObjectItemCaseSensitive(results, "result");
    const json *data = cJSON_GetObjectItemCaseSensitive(result, "data");
    const json *item = NULL;
    if (cJSON_IsString(cJSON_GetObjectItemCaseSensitive(data, "text/plain")))
        (void)puts(cli_text(data, "text/plain"));
    (void)fflush(stdout);
    cJSON_ArrayForEach(item, data)
    {
        if (item->string != NULL && strcmp(item->string, "text/plain") != 0)
            (void)fprintf(stderr, "[%s; --json shows it]\n", item->string);
    }
}

static int cli_print_code(const json *answer)
{
    const json *logs = cJSON_GetObjectItemCaseSensitive(answer, "logs");
    const json *error = cJSON_GetObjectItemCaseSensitive(answer, "error");
    cli_print_lines(stdout, cJSON_GetObjectItemCaseSensitive(logs, "stdout"));
    cli_print_lines(stderr, cJSON_GetObjectItemCaseSensitive(logs, "stderr"));
    cli_print_result(answer);
    if (!cJSON_IsObject(error))
        return CLI_OK;
    if (cli_text(error, "traceback")[0] != '\0')
        (void)fprintf(stderr, "%s\n", cli_text(error, "traceback"));
    else
        (void)fprintf(stderr, "%s: %s\n", cli_text(error, "name"), cli_text(error, "value"));
    return CLI_FAILED;
}

int cli_code(struct cli *cli, int argc, char **argv)
{
    const char *language = NULL, *context = NULL;
    struct cli_job job = {.route = "/code/run", .failed = CLI_RUN_FAILED};
    const struct cli_opt opts[] = {
        {"sandbox", CLI_TEXT, &job.sandbox}, {"template", CLI_TEXT, &job.template},
        {"timeout", CLI_TEXT, &job.timeout}, {"env", CLI_LIST, &job.env},
        {"language", CLI_TEXT, &language},   {"context", CLI_TEXT, &context},
        {"keep", CLI_FLAG, &job.keep},       {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    cleanup_buf struct buf text = {0};
    int rv = cli_parse(cli, &argc, argv, opts, false);
    if (rv == 0)
        rv = cli_expect(argc, 0, 1);
    if (rv == 0)
        rv = cli_add_seconds(body, "timeout", job.timeout, 1);
    if (rv == 0)
        rv = cli_add_pairs(body, "environment", &job.env);
    bool from_stdin = argc == 0 || strcmp(argv[0], "-") == 0;
    if (rv == 0 && from_stdin)
        rv = cli_read_code(&text);
    if (rv != 0)
        return rv;
    cli_add_text(body, "code", from_stdin ? buf_cstr(&text) : argv[0]);
    cli_add_text(body, "language", language);
    cli_add_text(body, "context_id", context);
    job.body = body;
    rv = cli_do_job(cli, &job, &answer);
    if (rv != 0)
        return rv;
    if (!cli->raw)
        return cli_print_code(answer);
    cli_print_json(answer);
    return cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(answer, "error")) ? CLI_FAILED : CLI_OK;
}
