/* SPDX-License-Identifier: Apache-2.0 */
/* with_store.h - what a sub command does with the state, without a server around it. */
#ifndef CORRAL_CMD_WITH_STORE_H
#define CORRAL_CMD_WITH_STORE_H

#include "config/config.h"
#include "store/store.h"

/* Opens the store, runs `run` with the words after the command's name, and closes the store, which
 * waits for the disk. While a server uses the state directory: -EBUSY, or with `beside` the store
 * is shared with it. What `run` returned, or a negative errno with `err` filled. */
int cmd_with_store(const struct config *config, bool beside,
                   int (*run)(struct store *store, char **args, struct error *err),
                   struct error *err);

#endif
