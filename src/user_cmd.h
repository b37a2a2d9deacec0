/* SPDX-License-Identifier: Apache-2.0 */
/* user_cmd.h - `corrald user create|passwd|list|delete`: people who sign in. Works with and without
 * a running server, which reads users each time. */
#ifndef CORRAL_USER_CMD_H
#define CORRAL_USER_CMD_H

#include "config.h"

int user_cmd(const struct config *config, struct error *err);

#endif
