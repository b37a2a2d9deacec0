/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete.c - prints a shell function that completes corral's words. It is made of the table of
 * commands: their words, the options and alternatives that stand in their usage, and, where that
 * says ID, the ids of live sandboxes, which it asks corral for. zsh reads the same function through
 * its bashcompinit.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const char complete_head[] =
    "_corral() {\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} words='' files='' command=${COMP_WORDS[1]}\n"
    "    case $command in\n";

static const char complete_tail[] =
    "    if [[ $COMP_CWORD -eq 1 ]]; then\n"
    "        words=\"$commands\" files=''\n"
    "    fi\n"
    "    if [[ $words == *@ID@* ]]; then\n"
    "        words=${words/@ID@/$(corral sandbox list 2>/dev/null |\n"
    "            awk 'NR > 1 && $3 == \"running\" { print $1 }')}\n"
    "    fi\n"
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
    "    if [[ -n $files ]]; then\n"
    "        COMPREPLY+=($(compgen -f -- \"$current\"))\n"
    "    fi\n"
    "}\n"
    "complete -F _corral corral\n";

/* The options, alternatives and ids that a usage text names. */
static void complete_words(const char *usage)
{
    for (const char *p = usage; *p != '\0';) {
        size_t n = strcspn(p, " []|=.");
        bool option = n > 2 && p[0] == '-' && p[1] == '-';
        bool choice = n > 2 && p[0] >= 'a' && p[0] <= 'z' &&
                      (p[n] == '|' || (p > usage && p[-1] == '|'));
        if (option || choice)
            (void)printf(" %.*s", (int)n, p);
        p += n + (p[n] != '\0');
    }
    if (strstr(usage, "ID") != NULL)
        (void)fputs(" @ID@", stdout);
}

static void complete_command(const struct cli_command *c)
{
    const char *space = strchr(c->words, ' ');
    (void)printf("    %s%s%s)\n        words='", space != NULL ? "'" : "", c->words,
                 space != NULL ? "'" : "");
    complete_words(c->args);
    (void)fputs(" --url --key-file --key --json --help'", stdout);
    if (strstr(c->args, "PATH") != NULL)
        (void)fputs(" files=yes", stdout);
    (void)fputs("\n        ;;\n", stdout);
}

/* The second words of a group, once for the group. */
static void complete_group(const struct cli_command *first, size_t len)
{
    (void)printf("    %.*s)\n        words='", (int)len, first->words);
    for (const struct cli_command *c = first; c->words != NULL; c++) {
        if (strncmp(c->words, first->words, len + 1) == 0)
            (void)printf(" %s", c->words + len + 1);
    }
    (void)fputs(
        "'\n        [[ $COMP_CWORD -eq 2 ]] || command+=\" ${COMP_WORDS[2]}\"\n        ;;\n",
        stdout);
}

/* Calls for the first command of each group, or for each command that is none's. */
static void complete_each(void (*group)(const struct cli_command *first, size_t len),
                          void (*single)(const struct cli_command *c))
{
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++) {
        const char *space = strchr(c->words, ' ');
        size_t len = space != NULL ? (size_t)(space - c->words) : strlen(c->words);
        bool first = c == cli_commands || strncmp(c[-1].words, c->words, len + 1) != 0;
        if (space == NULL && single != NULL)
            single(c);
        else if (space != NULL && first && group != NULL)
            group(c, len);
    }
}

static void complete_name(const struct cli_command *c)
{
    (void)printf(" %s", c->words);
}

static void complete_group_name(const struct cli_command *first, size_t len)
{
    (void)printf(" %.*s", (int)len, first->words);
}

int cli_completion(struct cli *cli, int argc, char **argv)
{
    int rv = cli_parse(cli, &argc, argv, NULL, false);
    if (rv == 0)
        rv = cli_expect(argc, 1, 1);
    if (rv != 0)
        return rv;
    bool zsh = strcmp(argv[0], "zsh") == 0;
    if (!zsh && strcmp(argv[0], "bash") != 0) {
        (void)cli_error("only bash and zsh are known");
        return CLI_USAGE;
    }
    if (zsh)
        (void)puts("#compdef corral\nautoload -U +X bashcompinit && bashcompinit");
    (void)fputs(complete_head, stdout);
    complete_each(complete_group, NULL);
    (void)fputs("    esac\n    case $command in\n", stdout);
    for (const struct cli_command *c = cli_commands; c->words != NULL; c++)
        complete_command(c);
    (void)fputs("    esac\n    local commands='", stdout);
    complete_each(complete_group_name, complete_name);
    (void)fputs("'\n", stdout);
    (void)fputs(complete_tail, stdout);
    return CLI_OK;
}
