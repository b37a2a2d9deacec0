/* SPDX-License-Identifier: Apache-2.0 */
/* isolation.h - chooses the isolation driver: what was asked for, what the machine can do, and what
 * the listen address allows. */
#ifndef CORRAL_ISOLATION_H
#define CORRAL_ISOLATION_H

#include "config.h"
#include "driver.h"

/* The driver for `config`; logs the choice with its reason. NULL with `err` filled. Blocking (it
 * runs a vCPU for a moment); start-up only. */
struct isolation_driver *isolation_open(uv_loop_t *loop, const struct config *config,
                                        struct error *err);

#endif
