/* SPDX-License-Identifier: Apache-2.0 */
/* key.h - `corrald key create|list|revoke`: API keys without a server. */
#ifndef CORRAL_CMD_KEY_H
#define CORRAL_CMD_KEY_H

#include "config/config.h"

/* See struct cmd. While a server uses the state directory it fails and points to corral(1). */
int key_cmd(const struct config *config, struct error *err);

#endif
