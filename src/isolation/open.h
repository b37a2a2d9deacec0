/* SPDX-License-Identifier: Apache-2.0 */
/* open.h - chooses the isolation driver by what is asked for, what the machine can do, and what the
 * listen address allows. */
#ifndef CORRAL_ISOLATION_OPEN_H
#define CORRAL_ISOLATION_OPEN_H

#include "config/config.h"
#include "isolation/driver.h"

/* The driver for `config`, or NULL with `err` filled. A fallback is logged with its reason. Blocks
 * (a vCPU runs for a moment); start-up only. */
struct isolation_driver *isolation_open(uv_loop_t *loop, const struct config *config,
                                        struct error *err);

#endif
