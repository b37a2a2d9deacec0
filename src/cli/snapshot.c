/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - what sandboxes are at a moment is kept, and becomes others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/http.h"

#define PATH_SANDBOXES "/v1/agents/sandboxes"
#define PATH_SNAPSHOTS "/snapshots"
#define PATH_TEMPLATES "/v1/agents/templates"

/* Posts `body` to a route of the sandbox that the one word names. 0 or an exit status. */
static int snapshot_post(struct cli *cli, int argc, char **argv, const char *route,
                         const json *body, json **ret)
{
    int rv = cli_expect(argc, 1, 1);
    if (rv != 0)
        return rv;
    cleanup_free char *path = cli_path(PATH_SANDBOXES, argv[0], route);
    return path != NULL ? cli_call(cli, "POST", path, body, ret) : cli_error("out of memory");
}

int cli_sandbox_snapshot(struct cli *cli, int argc, char **argv)
{
    const char *name = NULL;
    const struct cli_opt opts[] = {{"name", CLI_TEXT, &name}, {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    int rv = cli_parse(cli, &argc, argv, opts, false);
    cli_add_text(body, "name", name);
    if (rv == 0)
        rv = snapshot_post(cli, argc, argv, "/snapshots", body, &answer);
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    else if (rv == 0)
        (void)puts(cli_text(answer, "snapshot_id"));
    return rv;
}

int cli_sandbox_rollback(struct cli *cli, int argc, char **argv)
{
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    if (rv == 0)
        rv = cli_expect(argc, 2, 2);
    if (rv == 0) {
        cli_add_text(body, "snapshot", argv[1]);
        rv = snapshot_post(cli, 1, argv, "/rollback", body, &answer);
    }
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    else if (rv == 0)
        (void)puts("rolled back");
    return rv;
}

/* The ids to standard output, what could not be started to standard error. */
static int snapshot_print_children(const json *answer)
{
    int rv = CLI_OK;
    const json *child = NULL;
    cJSON_ArrayForEach(child, cJSON_GetObjectItemCaseSensitive(answer, "children"))
    {
        const json *sandbox = cJSON_GetObjectItemCaseSensitive(child, "sandbox");
        if (sandbox != NULL)
            (void)puts(cli_text(sandbox, "sandbox_id"));
        else
            rv = cli_error("%s",
                           cli_text(cJSON_GetObjectItemCaseSensitive(child, "error"), "message"));
    }
    return rv;
}

int cli_sandbox_fork(struct cli *cli, int argc, char **argv)
{
    const char *count = NULL, *timeout = NULL;
    struct cli_list env = {0};
    const struct cli_opt opts[] = {{"count", CLI_TEXT, &count},
                                   {"timeout", CLI_TEXT, &timeout},
                                   {"env", CLI_LIST, &env},
                                   {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    char *end = NULL;
    int rv = cli_parse(cli, &argc, argv, opts, false);
    long n = count != NULL ? strtol(count, &end, 10) : 1;
    if (rv == 0 && count != NULL && (*count == '\0' || *end != '\0')) {
        (void)cli_error("not a number: %s", count);
        return CLI_USAGE;
    }
    cJSON_AddNumberToObject(body, "count", (double)n);
    if (rv == 0)
        rv = cli_add_seconds(body, "timeout", timeout, 1);
    if (rv == 0)
        rv = cli_add_pairs(body, "env_vars", &env);
    if (rv == 0)
        rv = snapshot_post(cli, argc, argv, "/fork", body, &answer);
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    return rv == 0 && !cli->raw ? snapshot_print_children(answer) : rv;
}

int cli_snapshot_list(struct cli *cli, int argc, char **argv)
{
    static const struct cli_column columns[] = {
        {"snapshot_id", "ID"},     {"name", "NAME"},         {"kind", "KIND"},
        {"template", "TEMPLATE"},  {"children", "CHILDREN"}, {"disk_bytes", "DISK_BYTES"},
        {"created_at", "CREATED"},
    };
    cleanup_json json *answer = NULL;
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    if (rv == 0)
        rv = cli_expect(argc, 0, 0);
    if (rv == 0)
        rv = cli_call(cli, "GET", PATH_SNAPSHOTS "?limit=1000", NULL, &answer);
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    else if (rv == 0)
        cli_print_table(cJSON_GetObjectItemCaseSensitive(answer, "snapshots"), columns,
                        ARRAY_SIZE(columns));
    return rv;
}

int cli_snapshot_get(struct cli *cli, int argc, char **argv)
{
    static const char *const fields[] = {"snapshot_id", "name",      "kind",      "sandbox_id",
                                         "template",    "cpu_count", "memory_mb", "disk_mb",
                                         "disk_bytes",  "children",  "created_at"};
    return cli_show(cli, argc, argv, PATH_SNAPSHOTS, fields, ARRAY_SIZE(fields));
}

int cli_snapshot_promote(struct cli *cli, int argc, char **argv)
{
    const char *description = NULL;
    const struct cli_opt opts[] = {{"description", CLI_TEXT, &description}, {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    cleanup_json json *answer = NULL;
    int rv = cli_parse(cli, &argc, argv, opts, false);
    if (rv == 0)
        rv = cli_expect(argc, 2, 2);
    if (rv == 0) {
        cli_add_text(body, "snapshot", argv[0]);
        cli_add_text(body, "name", argv[1]);
        cli_add_text(body, "description", description);
        rv = cli_call(cli, "POST", PATH_TEMPLATES, body, &answer);
    }
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    else if (rv == 0)
        (void)puts(cli_text(answer, "id"));
    return rv;
}

int cli_template_delete(struct cli *cli, int argc, char **argv)
{
    const struct cli_request request = {"DELETE", PATH_TEMPLATES, "", NULL};
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    return rv == 0 ? cli_each(cli, argc, argv, &request, "deleted") : rv;
}

int cli_snapshot_delete(struct cli *cli, int argc, char **argv)
{
    const struct cli_request request = {"DELETE", PATH_SNAPSHOTS, "", NULL};
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    return rv == 0 ? cli_each(cli, argc, argv, &request, "deleted") : rv;
}
