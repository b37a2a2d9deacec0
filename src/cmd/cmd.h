/* SPDX-License-Identifier: Apache-2.0 */
/* cmd.h - the sub commands of corrald: one table, from which they are found, --help is made, and
 * wrong arguments are answered. */
#ifndef CORRAL_CMD_CMD_H
#define CORRAL_CMD_CMD_H

#include "base/buf.h"
#include "cmd/command.h"

extern const struct cmd cmd_table[];
extern const size_t cmd_table_len;

/* Runs the command that config->args[0] names. 0, or a negative errno with `err` filled. */
int cmd_run(const struct config *config, struct error *err);
/* Appends the commands' part of --help: a line for each form, then what the command does. */
void cmd_help(struct buf *out);

#endif
