/* SPDX-License-Identifier: Apache-2.0 */
/* environment_id.h - a sandbox's id as the gateway's API writes it: env- and 32 hex digits. */
#ifndef CORRAL_SANDBOX_ENVIRONMENT_ID_H
#define CORRAL_SANDBOX_ENVIRONMENT_ID_H

#include "core/id.h"

#define ENVIRONMENT_ID_SIZE 37 /* with its NUL */

/* Returns `out`. */
const char *environment_id(char out[ENVIRONMENT_ID_SIZE], const char *sandbox_id);
/* The sandbox id of an environment id; 0 or -EINVAL. */
int environment_parse(char out[ID_SIZE], const char *text);

#endif
