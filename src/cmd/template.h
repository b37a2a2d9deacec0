/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - `corrald template build|list|remove`: the templates of a state directory, beside
 * a running server or without one. */
#ifndef CORRAL_CMD_TEMPLATE_H
#define CORRAL_CMD_TEMPLATE_H

#include "config/config.h"

/* config->args[0] is "template". 0, or a negative errno with `err` filled. */
int template_cmd(const struct config *config, struct error *err);

#endif
