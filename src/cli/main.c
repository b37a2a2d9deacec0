/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - corral: the table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli/http.h"

#define CLI_DEFAULT_URL "http://127.0.0.1:8000"

const struct cli_command cli_commands[] = {
    {"run",
     "[--sandbox ID] [--template NAME] [--timeout S] [--env N=V] [--dir DIR] [--keep] "
     "[--deny-all] [--allow HOST] "
     "[--] COMMAND [ARG...]",
     "Run a command in a new sandbox, or in a given one", cli_run},
    {"shell",
     "[--template NAME] [--shell LINE] [--user NAME] [--env N=V] [--dir DIR] [--keep] [ID]",
     "Open a terminal in a sandbox, or in a new one", cli_shell},
    {"code", "[--language NAME] [--context ID] [options of run] [CODE]",
     "Run code, or standard input, in a Jupyter kernel", cli_code},
    {"cp", "[-r] ID:PATH PATH | [-r] PATH ID:PATH",
     "Copy a file or a directory out of a sandbox, or into it", cli_cp},
    {"ls", "ID[:PATH]", "List a directory of a sandbox", cli_ls},
    {"cat", "ID:PATH", "Print a file of a sandbox", cli_cat},
    {"url", "[--expires S] ID PORT", "Print the URL of a port in a sandbox", cli_url},
    {"sandbox create", "[--template NAME] [--timeout S] [--env N=V] [--metadata N=V]",
     "Make a sandbox and print its id", cli_sandbox_create},
    {"sandbox list", "", "List sandboxes, newest first", cli_sandbox_list},
    {"sandbox get", "ID", "Show a sandbox", cli_sandbox_get},
    {"sandbox pause", "ID...", "Put sandboxes away with all that runs in them", cli_sandbox_pause},
    {"sandbox resume", "[--timeout S] ID...", "Bring paused sandboxes back", cli_sandbox_resume},
    {"sandbox paused", "", "List paused sandboxes with their disk use", cli_sandbox_paused},
    {"sandbox snapshot", "[--name NAME] ID", "Keep what a sandbox is now", cli_sandbox_snapshot},
    {"sandbox fork", "[--count N] [--timeout S] [--env N=V] ID",
     "Make sandboxes that begin as one is now", cli_sandbox_fork},
    {"sandbox rollback", "ID SNAPSHOT", "Bring a sandbox back to what it was",
     cli_sandbox_rollback},
    {"sandbox kill", "ID...", "End sandboxes", cli_sandbox_kill},
    {"snapshot list", "", "List snapshots, newest first", cli_snapshot_list},
    {"snapshot get", "SNAPSHOT", "Show a snapshot", cli_snapshot_get},
    {"snapshot promote", "[--description TEXT] SNAPSHOT NAME", "Make a template of a snapshot",
     cli_snapshot_promote},
    {"snapshot delete", "SNAPSHOT...", "Delete snapshots", cli_snapshot_delete},
    {"template list", "", "List templates", cli_template_list},
    {"template delete", "TEMPLATE...", "Delete templates that were snapshots", cli_template_delete},
    {"secret set", "NAME", "Keep a value, read from standard input, with the server",
     cli_secret_set},
    {"secret list", "", "List the names of secrets", cli_secret_list},
    {"secret rm", "NAME...", "Remove secrets", cli_secret_rm},
    {"key create",
     "[--name TEXT] [--account NAME] [--role viewer|developer|admin] [--rate-limit off|N/min,N/s]",
     "Make an API key and print it", cli_key_create},
    {"key list", "", "List API keys", cli_key_list},
    {"key revoke", "ID...", "Make API keys invalid", cli_key_revoke},
    {"health", "", "Ask whether the server is up", cli_health},
    {"completion", "bash|zsh", "Print what makes the shell complete these commands",
     cli_completion},
    {NULL, NULL, NULL, NULL},
};

static int cli_help(FILE *to)
{
    (void)fputs("usage: corral [OPTION...] COMMAND\n\n", to);
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++)
        (void)fprintf(to, "  %s %s\n        %s\n", c->words, c->args, c->help);
    (void)fputs("\n"
                "  --url URL        the server (CORRAL_URL, default " CLI_DEFAULT_URL ")\n"
                "  --key-file FILE  file with the API key\n"
                "  --key KEY        the API key (CORRAL_API_KEY, default: STATE/admin.key)\n"
                "  --json           print the server's answer as it is\n"
                "  --help, --version\n",
                to);
    return to == stdout ? CLI_OK : CLI_USAGE;
}

/* How many of argv's words name the command; 0 when they do not. */
static int cli_match(const struct cli_command *c, int argc, char **argv)
{
    const char *space = strchr(c->words, ' ');
    size_t first = space != NULL ? (size_t)(space - c->words) : strlen(c->words);
    if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], c->words, first) != 0)
        return 0;
    if (space == NULL)
        return 1;
    return argc > 1 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

/* `corral sandbox` and `corral sandbox --help`: what there is of that. False: nothing. */
static bool cli_help_group(int argc, char **argv)
{
    size_t len = strlen(argv[0]);
    bool found = false;
    if (argc > 1 && strcmp(argv[1], "--help") != 0)
        return false;
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++) {
        if (strncmp(c->words, argv[0], len) != 0 || c->words[len] != ' ')
            continue;
        (void)printf("corral %s %s\n        %s\n", c->words, c->args, c->help);
        found = true;
    }
    return found;
}

static int cli_dispatch(struct cli *cli, int argc, char **argv)
{
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++) {
        int words = cli_match(c, argc, argv);
        if (words == 0)
            continue;
        if (argc > words && strcmp(argv[words], "--help") == 0) {
            (void)printf("usage: corral %s %s\n\n%s.\n\nOptions of every command: --url, --key, "
                         "--key-file, --json; see corral --help and corral(1).\n",
                         c->words, c->args, c->help);
            return CLI_OK;
        }
        return c->run(cli, argc - words, argv + words);
    }
    if (cli_help_group(argc, argv))
        return argc > 1 ? CLI_OK : CLI_USAGE;
    (void)cli_error("no such command: %s%s%s; see corral --help", argv[0], argc > 1 ? " " : "",
                    argc > 1 ? argv[1] : "");
    return CLI_USAGE;
}

int main(int argc, char **argv)
{
    const char *url = getenv("CORRAL_URL");
    struct cli cli = {.url = url != NULL && url[0] != '\0' ? url : CLI_DEFAULT_URL};
    argc--;
    argv++;
    if (argc > 0 && strcmp(argv[0], "--help") == 0)
        return cli_help(stdout);
    if (argc > 0 && strcmp(argv[0], "--version") == 0) {
        (void)puts("corral " CORRAL_VERSION);
        return CLI_OK;
    }
    /* Takes the options before the command. The command takes the options behind it. */
    int rv = cli_parse(&cli, &argc, argv, NULL, true);
    if (rv != 0)
        return rv;
    if (argc == 0)
        return cli_help(stderr);
    cli.http = cli_http_new();
    if (cli.http == NULL)
        return CLI_FAILED;
    rv = cli_dispatch(&cli, argc, argv);
    cli_http_free(cli.http);
    if (fflush(stdout) != 0 && rv == CLI_OK)
        rv = cli_error("standard output cannot be written");
    return rv;
}
