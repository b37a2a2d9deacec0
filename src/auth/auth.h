/* SPDX-License-Identifier: Apache-2.0 */
/* auth.h - the value of an Authorization header -> principal. Knows nothing about routes. */
#ifndef CORRAL_AUTH_AUTH_H
#define CORRAL_AUTH_AUTH_H

#include "auth/apikey.h"
#include "auth/principal.h"
#include "auth/token.h"

#define AUTH_MAX_CREDENTIAL 8192 /* bytes accepted after "Bearer " */

struct auth {
    struct apikeys *keys;  /* not owned */
    struct tokens *tokens; /* not owned; NULL: API keys only */
};

/* `value` is NULL when the request has no such header. Failure is -EACCES and
 * ERROR_UNAUTHORIZED; the message does not tell an unknown key from a wrong one. */
int auth_check(const struct auth *a, const char *value, size_t len, struct principal *ret,
               struct error *err);

#endif
