/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/principal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned int scopes;
} role_table[ROLE_COUNT] = {
#define X(name, text, scopes) {text, scopes},
    ROLES(X)
#undef X
};

static const struct {
    enum scope scope;
    const char *name;
} scope_table[] = {{SCOPE_READ, "read"}, {SCOPE_RUN, "run"}, {SCOPE_MANAGE, "manage"}};

const char *role_name(enum role role)
{
    return role < ROLE_COUNT ? role_table[role].name : "unknown";
}

unsigned int role_scopes(enum role role)
{
    return role < ROLE_COUNT ? role_table[role].scopes : 0;
}

int role_parse(const char *name, enum role *ret)
{
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(name, role_table[i].name) == 0) {
            *ret = (enum role)i;
            return 0;
        }
    }
    return -EINVAL;
}

int principal_check_name(const char *what, const char *name, struct error *err)
{
    size_t len = 0;
    while (name[len] != '\0' && len < PRINCIPAL_NAME_SIZE &&
           (isalnum((unsigned char)name[len]) || strchr("._-", name[len]) != NULL))
        len++;
    if (len == 0 || len >= PRINCIPAL_NAME_SIZE || name[len] != '\0')
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Field '%s' must be 1 to %d letters, digits, dots, dashes or underscores",
                         what, PRINCIPAL_NAME_SIZE - 1);
    return 0;
}

int principal_require(const struct principal *p, enum scope scope, struct error *err)
{
    const char *name = "unknown";
    if ((p->scopes & scope) != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(scope_table); i++) {
        if (scope_table[i].scope == scope)
            name = scope_table[i].name;
    }
    (void)error_set(err, ERROR_FORBIDDEN, "The credential lacks the scope '%s'", name);
    return -EACCES;
}
