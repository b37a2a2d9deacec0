/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - sandboxes are put away and brought back. */
#include <stdio.h>

#include "cli/http.h"

#define PATH_SANDBOXES "/v1/agents/sandboxes"

int cli_sandbox_pause(struct cli *cli, int argc, char **argv)
{
    const struct cli_request request = {"POST", PATH_SANDBOXES, "/pause", NULL};
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    return rv == 0 ? cli_each(cli, argc, argv, &request, "paused") : rv;
}

int cli_sandbox_resume(struct cli *cli, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct cli_opt opts[] = {{"timeout", CLI_TEXT, &timeout}, {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    int rv = cli_parse(cli, &argc, argv, opts, false);
    if (rv == 0)
        rv = cli_add_seconds(body, "timeout", timeout, 1);
    const struct cli_request request = {"POST", PATH_SANDBOXES, "/resume", body};
    return rv == 0 ? cli_each(cli, argc, argv, &request, "resumed") : rv;
}

int cli_sandbox_paused(struct cli *cli, int argc, char **argv)
{
    static const struct cli_column columns[] = {{"sandbox_id", "ID"},
                                                {"template", "TEMPLATE"},
                                                {"paused_at", "PAUSED"},
                                                {"expires_at", "EXPIRES"},
                                                {"disk_bytes", "DISK_BYTES"}};
    cleanup_json json *answer = NULL;
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    if (rv == 0)
        rv = cli_expect(argc, 0, 0);
    if (rv == 0)
        rv = cli_call(cli, "GET", PATH_SANDBOXES "/paused?limit=1000", NULL, &answer);
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    else if (rv == 0)
        cli_print_table(cJSON_GetObjectItemCaseSensitive(answer, "sandboxes"), columns,
                        ARRAY_SIZE(columns));
    return rv;
}
