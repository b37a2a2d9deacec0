/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - corral: the table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli/http.h"

#define CLI_DEFAULT_URL "http://127.0.0.1:8000"

static const struct cli_command cli_commands[] = {
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
    {"sandbox create", "[--template NAME] [--timeout S] [--env N=V] [--metadata N=V]",
     "Make a sandbox and print its id", cli_sandbox_create},
    {"sandbox list", "", "List sandboxes, newest first", cli_sandbox_list},
    {"sandbox kill", "ID...", "End sandboxes", cli_sandbox_kill},
    {"template list", "", "List templates", cli_template_list},
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
};

static int cli_help(FILE *to)
{
    (void)fputs("usage: corral [OPTION...] COMMAND\n\n", to);
    for (size_t i = 0; i < ARRAY_SIZE(cli_commands); i++) {
        const struct cli_command *c = &cli_commands[i];
        (void)fprintf(to, "  %s %s\n        %s\n", c->words, c->args, c->help);
    }
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

static int cli_dispatch(struct cli *cli, int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_SIZE(cli_commands); i++) {
        int words = cli_match(&cli_commands[i], argc, argv);
        if (words == 0)
            continue;
        if (argc > words && strcmp(argv[words], "--help") == 0) {
            (void)printf("usage: corral %s %s\n%s.\n", cli_commands[i].words, cli_commands[i].args,
                         cli_commands[i].help);
            return CLI_OK;
        }
        return cli_commands[i].run(cli, argc - words, argv + words);
    }
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
