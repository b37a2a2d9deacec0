/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - sandboxes are put away and brought back. */
#include <stdio.h>

#include "cli/http.h"

#define PATH_SANDBOXES "/v1/agents/sandboxes"

/* A POST for each word; `done` names what happened. All are tried. */
static int state_each(struct cli *cli, int argc, char **argv, const char *action, const json *body,
                      const char *done)
{
    int rv = cli_expect(argc, 1, CLI_MAX_LIST);
    for (int i = 0; i < argc && rv != CLI_USAGE; i++) {
        cleanup_json json *answer = NULL;
        cleanup_free char *path = cli_path(PATH_SANDBOXES, argv[i], action);
        int one = path != NULL ? cli_call(cli, "POST", path, body, &answer)
                               : cli_error("out of memory");
        if (one != 0)
            rv = one;
        else if (cli->raw)
            cli_print_json(answer);
        else
            (void)printf("%s %s\n", done, argv[i]);
    }
    return rv;
}

int cli_sandbox_pause(struct cli *cli, int argc, char **argv)
{
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    return rv == 0 ? state_each(cli, argc, argv, "/pause", NULL, "paused") : rv;
}

int cli_sandbox_resume(struct cli *cli, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct cli_opt opts[] = {{"timeout", CLI_TEXT, &timeout}, {NULL, CLI_FLAG, NULL}};
    cleanup_json json *body = cJSON_CreateObject();
    int rv = cli_parse(cli, &argc, argv, opts, false);
    if (rv == 0)
        rv = cli_add_seconds(body, "timeout", timeout, 1);
    return rv == 0 ? state_each(cli, argc, argv, "/resume", body, "resumed") : rv;
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
