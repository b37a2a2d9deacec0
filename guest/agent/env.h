/* SPDX-License-Identifier: Apache-2.0 */
/* env.h - the environment of a command: what every login has, then what the sandbox was created
 * with, then what the request adds. Later ones win. */
#ifndef CORRAL_AGENT_ENV_H
#define CORRAL_AGENT_ENV_H

#include "agent/account.h"

#define ENV_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A NULL-terminated vector in one allocation; the strings of `configured` and `requested` (either
 * may be NULL) are borrowed. NULL when memory ran out. */
char **env_merge(const struct account *a, char *const *configured, char *const *requested);
/* `env` (may be NULL) and those of `defaults` whose names it does not have: one allocation, with
 * copies. NULL when memory ran out. */
char **env_with_defaults(char *const *env, const char *const *defaults);
/* The value of `name` in `env`, or NULL. */
const char *env_get(char *const *env, const char *name);

#endif
