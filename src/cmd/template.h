/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - `corrald template build|list|remove|snapshot`: the templates of a state
 * directory, beside a running server or without one. */
#ifndef CORRAL_CMD_TEMPLATE_H
#define CORRAL_CMD_TEMPLATE_H

#include "config/config.h"

/* See struct cmd. */
int template_cmd(const struct config *config, struct error *err);

#endif
