/* SPDX-License-Identifier: Apache-2.0 */
/* args.h - the options of a sub command. corrald's own options are gone when a command sees its
 * arguments: config_load takes them out wherever they stand. */
#ifndef CORRAL_CMD_ARGS_H
#define CORRAL_CMD_ARGS_H

#include <stdbool.h>
#include <stddef.h>

/* --flag VALUE or --flag=VALUE sets *value; with `given` the flag stands alone and sets that. */
struct cmd_option {
    const char *flag;
    const char **value;
    bool *given;
};

/* Reads the words of `args` up to NULL. One word that is not an option goes to *word; without
 * `word` there may be none. 0 or CMD_USAGE. */
int cmd_parse(char **args, const struct cmd_option *options, size_t n, const char **word);

#endif
