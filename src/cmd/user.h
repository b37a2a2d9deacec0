/* SPDX-License-Identifier: Apache-2.0 */
/* user.h - `corrald user create|passwd|list|delete`: people who sign in. Works with and without
 * a running server, which reads a user's record at each use. */
#ifndef CORRAL_CMD_USER_H
#define CORRAL_CMD_USER_H

#include "config/config.h"

/* See struct cmd. */
int user_cmd(const struct config *config, struct error *err);

#endif
