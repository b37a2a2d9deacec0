/* SPDX-License-Identifier: Apache-2.0 */
/* command.h - what one sub command of corrald is. */
#ifndef CORRAL_CMD_COMMAND_H
#define CORRAL_CMD_COMMAND_H

#include "config/config.h"

/* What a command returns when its arguments are wrong; cmd_run then fills `err` with the usage. */
#define CMD_USAGE 1

struct cmd {
    const char *name;
    const char *usage; /* the words after the name; " | " between its forms */
    const char *help;
    /* Runs config->args, whose first word is the name. 0, CMD_USAGE, or a negative errno with `err`
     * filled. */
    int (*run)(const struct config *config, struct error *err);
};

#endif
