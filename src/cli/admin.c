/* SPDX-License-Identifier: Apache-2.0 */
/* admin.c - keys, sandboxes, templates, health: one request each. */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/http.h"

#define PATH_KEYS      "/v1/admin/keys"
#define PATH_SECRETS   "/v1/agents/secrets"
#define PATH_SANDBOXES "/v1/agents/sandboxes"

/* Options, and no words behind them. */
static int cli_options(struct cli *cli, int argc, char **argv, const struct cli_opt *opts)
{
    int rv = cli_parse(cli, &argc, argv, opts, false);
    return rv == 0 ? cli_expect(argc, 0, 0) : rv;
}

/* Creates something. True: the answer is there to be shown. */
static bool cli_create(struct cli *cli, const char *path, json *body, json **answer, int *rv)
{
    if (*rv == 0)
        *rv = cli_call(cli, "POST", path, body, answer);
    if (*rv == 0 && cli->raw)
        cli_print_json(*answer);
    return *rv == 0 && !cli->raw;
}

/* A GET whose answer has an array under `field`, shown as a table. */
static int cli_list(struct cli *cli, int argc, char **argv, const char *path, const char *field,
                    const struct cli_column *columns, size_t n)
{
    cleanup_json json *answer = NULL;
    int rv = cli_options(cli, argc, argv, NULL);
    if (rv == 0)
        rv = cli_call(cli, "GET", path, NULL, &answer);
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    else if (rv == 0)
        cli_print_table(cJSON_GetObjectItemCaseSensitive(answer, field), columns, n);
    return rv;
}

/* A DELETE for each word; `done` names what happened. All are tried. */
static int cli_delete(struct cli *cli, int argc, char **argv, const char *prefix, const char *done)
{
    const struct cli_request request = {"DELETE", prefix, "", NULL};
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    return rv == 0 ? cli_each(cli, argc, argv, &request, done) : rv;
}

int cli_key_create(struct cli *cli, int argc, char **argv)
{
    const char *name = NULL, *account = NULL, *role = NULL, *rate = NULL;
    const struct cli_opt opts[] = {{"name", CLI_TEXT, &name},
                                   {"account", CLI_TEXT, &account},
                                   {"role", CLI_TEXT, &role},
                                   {"rate-limit", CLI_TEXT, &rate},
                                   {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    int rv = cli_options(cli, argc, argv, opts);
    cli_add_text(body, "name", name);
    cli_add_text(body, "account", account);
    cli_add_text(body, "role", role);
    cli_add_text(body, "rate_limit", rate);
    if (!cli_create(cli, PATH_KEYS, body, &answer, &rv))
        return rv;
    (void)puts(cli_text(answer, "key"));
    (void)fprintf(stderr, "key %s, account %s, role %s; it is not shown again\n",
                  cli_text(answer, "id"), cli_text(answer, "account"), cli_text(answer, "role"));
    return CLI_OK;
}

int cli_key_list(struct cli *cli, int argc, char **argv)
{
    static const struct cli_column columns[] = {{"id", "ID"},
                                                {"account", "ACCOUNT"},
                                                {"role", "ROLE"},
                                                {"created_at", "CREATED"},
                                                {"name", "NAME"}};
    return cli_list(cli, argc, argv, PATH_KEYS, "keys", columns, ARRAY_SIZE(columns));
}

int cli_key_revoke(struct cli *cli, int argc, char **argv)
{
    return cli_delete(cli, argc, argv, PATH_KEYS, "revoked");
}

/* The first line of standard input, asked for without an echo when a person types it. */
static int cli_read_secret(char *line, size_t size)
{
    struct termios old, quiet;
    bool person = tcgetattr(STDIN_FILENO, &old) == 0;
    if (person) {
        (void)fputs("Value: ", stderr);
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    char *got = fgets(line, (int)size, stdin);
    if (person) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        (void)fputs("\n", stderr);
    }
    if (got == NULL)
        return cli_error("standard input has no value");
    line[strcspn(line, "\r\n")] = '\0';
    return 0;
}

int cli_secret_set(struct cli *cli, int argc, char **argv)
{
    char value[8192];
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    if (rv == 0)
        rv = cli_expect(argc, 1, 1);
    if (rv == 0)
        rv = cli_read_secret(value, sizeof(value));
    if (rv != 0)
        return rv;
    cleanup_free char *path = cli_path(PATH_SECRETS, argv[0], "");
    cli_add_text(body, "value", value);
    explicit_bzero(value, sizeof(value));
    rv = path != NULL ? cli_call(cli, "PUT", path, body, &answer) : cli_error("out of memory");
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    return rv;
}

int cli_secret_list(struct cli *cli, int argc, char **argv)
{
    static const struct cli_column columns[] = {{"name", "NAME"}, {"updated_at", "UPDATED"}};
    return cli_list(cli, argc, argv, PATH_SECRETS, "secrets", columns, ARRAY_SIZE(columns));
}

int cli_secret_rm(struct cli *cli, int argc, char **argv)
{
    return cli_delete(cli, argc, argv, PATH_SECRETS, "removed");
}

int cli_sandbox_create(struct cli *cli, int argc, char **argv)
{
    const char *template = NULL, *timeout = NULL, *provider = "corral", *region = "local";
    struct cli_list env = {0}, metadata = {0};
    const struct cli_opt opts[] = {{"template", CLI_TEXT, &template},
                                   {"timeout", CLI_TEXT, &timeout},
                                   {"env", CLI_LIST, &env},
                                   {"metadata", CLI_LIST, &metadata},
                                   {"provider", CLI_TEXT, &provider},
                                   {"region", CLI_TEXT, &region},
                                   {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    int rv = cli_options(cli, argc, argv, opts);
    cli_add_text(body, "provider", provider);
    cli_add_text(body, "region", region);
    cli_add_text(body, "template", template);
    if (rv == 0)
        rv = cli_add_seconds(body, "timeout", timeout, 1);
    if (rv == 0)
        rv = cli_add_pairs(body, "env_vars", &env);
    if (rv == 0)
        rv = cli_add_pairs(body, "metadata", &metadata);
    if (cli_create(cli, PATH_SANDBOXES, body, &answer, &rv))
        (void)puts(cli_text(answer, "sandbox_id"));
    return rv;
}

int cli_sandbox_get(struct cli *cli, int argc, char **argv)
{
    static const char *const fields[] = {"sandbox_id", "template",   "status",
                                         "started_at", "timeout_at", "ended_at",
                                         "cpu_count",  "memory_mb",  "metadata"};
    return cli_show(cli, argc, argv, PATH_SANDBOXES, fields, ARRAY_SIZE(fields));
}

int cli_sandbox_list(struct cli *cli, int argc, char **argv)
{
    static const struct cli_column columns[] = {
        {"sandbox_id", "ID"},      {"template", "TEMPLATE"},  {"status", "STATUS"},
        {"started_at", "STARTED"}, {"timeout_at", "TIMEOUT"}, {"ended_at", "ENDED"}};
    return cli_list(cli, argc, argv, PATH_SANDBOXES "?limit=1000", "sandboxes", columns,
                    ARRAY_SIZE(columns));
}

int cli_sandbox_kill(struct cli *cli, int argc, char **argv)
{
    return cli_delete(cli, argc, argv, PATH_SANDBOXES, "killed");
}

int cli_template_list(struct cli *cli, int argc, char **argv)
{
    static const struct cli_column columns[] = {
        {"name", "NAME"},           {"vcpu_count", "VCPUS"},
        {"memory_mb", "MEMORY_MB"}, {"disk_size_mb", "DISK_MB"},
        {"updated_at", "UPDATED"},  {"description", "DESCRIPTION"}};
    return cli_list(cli, argc, argv, "/v1/agents/templates?limit=1000", "templates", columns,
                    ARRAY_SIZE(columns));
}

int cli_health(struct cli *cli, int argc, char **argv)
{
    cleanup_json json *answer = NULL;
    int rv = cli_options(cli, argc, argv, NULL);
    if (rv == 0)
        rv = cli_call(cli, "GET", "/health", NULL, &answer);
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    else if (rv == 0)
        (void)printf("%s: corrald %s, isolation %s, %.0f sandboxes\n", cli_text(answer, "status"),
                     cli_text(answer, "version"), cli_text(answer, "isolation"),
                     cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(answer, "sandboxes")));
    return rv;
}
