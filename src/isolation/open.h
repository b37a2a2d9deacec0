/* SPDX-License-Identifier: Apache-2.0 */
/* open.h - chooses the isolation driver: what was asked for, what the machine can do, and what
 * the listen address allows. */
#ifndef CORRAL_ISOLATION_OPEN_H
#define CORRAL_ISOLATION_OPEN_H

#include "config/config.h"
#include "isolation/driver.h"

/* The driver for `config`; logs the choice with its reason. NULL with `err` filled. Blocking (it
 * runs a vCPU for a moment); start-up only. */
struct isolation_driver *isolation_open(uv_loop_t *loop, const struct config *config,
                                        struct error *err);

#endif
