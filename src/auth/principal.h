/* SPDX-License-Identifier: Apache-2.0 */
/* principal.h - who makes a request and what they may do. A value: copied, never owned. */
#ifndef CORRAL_AUTH_PRINCIPAL_H
#define CORRAL_AUTH_PRINCIPAL_H

#include "base/error.h"
#include "core/ratelimit.h"

#define PRINCIPAL_NAME_SIZE                                                                        \
    65                        /* an account or user name: 1 to 64 of A-Z a-z 0-9 . _ - and a NUL   \
                               */
#define PRINCIPAL_KEY_SIZE 72 /* id of the credential */

/* Bits of a principal; a route asks for one. */
enum scope {
    SCOPE_READ = 1,   /* look at things */
    SCOPE_RUN = 2,    /* create sandboxes and run in them */
    SCOPE_MANAGE = 4, /* keys, users, templates */
};

/* X(NAME, "text", scopes). Numbers are stored: only append. */
#define ROLES(X)                                                                                   \
    X(VIEWER, "viewer", SCOPE_READ)                                                                \
    X(DEVELOPER, "developer", SCOPE_READ | SCOPE_RUN)                                              \
    X(ADMIN, "admin", SCOPE_READ | SCOPE_RUN | SCOPE_MANAGE)

enum role {
#define X(name, text, scopes) ROLE_##name,
    ROLES(X)
#undef X
        ROLE_COUNT
};

struct principal {
    char account[PRINCIPAL_NAME_SIZE];
    char key_id[PRINCIPAL_KEY_SIZE]; /* rate limits count by it */
    enum role role;
    unsigned int scopes; /* enum scope bits */
    bool has_rate;       /* it does not share the server's rate limit */
    struct rate_limits rate;
};

const char *role_name(enum role role);
unsigned int role_scopes(enum role role);
int role_parse(const char *name, enum role *ret); /* 0 or -EINVAL */

/* 0, or -EINVAL with `err` (ERROR_INVALID_ARGUMENT) naming `what`. */
int principal_check_name(const char *what, const char *name, struct error *err);

/* 0, or -EACCES with `err` (ERROR_FORBIDDEN) naming the missing scope. */
int principal_require(const struct principal *p, enum scope scope, struct error *err);

#endif
