/* SPDX-License-Identifier: Apache-2.0 */
/* code.c - code in a kernel of a sandbox. */
#include <stdio.h>
#include <string.h>

#include "cli/job.h"

#define CLI_MAX_CODE (16u << 20)

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

static int cli_act_code(struct cli *cli, struct cli_job *job, const char *id)
{
    cleanup_json json *answer = NULL;
    int rv = cli_post_job(cli, job, "/code/run", id, &answer);
    if (rv != 0)
        return rv;
    if (!cli->raw)
        return cli_print_code(answer);
    cli_print_json(answer);
    return cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(answer, "error")) ? CLI_FAILED : CLI_OK;
}

int cli_code(struct cli *cli, int argc, char **argv)
{
    const char *language = NULL, *context = NULL;
    struct cli_job job = {.act = cli_act_code};
    const struct cli_opt opts[] = {
        {"sandbox", CLI_TEXT, &job.sandbox}, {"template", CLI_TEXT, &job.template},
        {"timeout", CLI_TEXT, &job.timeout}, {"env", CLI_LIST, &job.env},
        {"language", CLI_TEXT, &language},   {"context", CLI_TEXT, &context},
        {"keep", CLI_FLAG, &job.keep},       {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
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
    return cli_do_job(cli, &job);
}
