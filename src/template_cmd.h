/* SPDX-License-Identifier: Apache-2.0 */
/* template_cmd.h - `corrald template build|list|remove`: the templates of a state directory, beside
 * a running server or without one. */
#ifndef CORRAL_TEMPLATE_CMD_H
#define CORRAL_TEMPLATE_CMD_H

#include "config.h"

/* config->args[0] is "template". 0, or a negative errno with `err` filled. */
int template_cmd(const struct config *config, struct error *err);

#endif
