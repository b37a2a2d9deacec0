/* SPDX-License-Identifier: Apache-2.0 */
/* user.h - `corrald user create|passwd|list|delete`: people who sign in. Works with and without
 * a running server, which reads users each time. */
#ifndef CORRAL_CMD_USER_H
#define CORRAL_CMD_USER_H

#include "config/config.h"

int user_cmd(const struct config *config, struct error *err);

#endif
