/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define AUTH_SCHEME     "bearer"
#define AUTH_SCHEME_LEN 6

static int auth_refuse(struct error *err, const char *message)
{
    (void)error_set(err, ERROR_UNAUTHORIZED, "%s", message);
    return -EACCES;
}

/* Moves past spaces and tabs. */
static const char *auth_skip_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

int auth_check(const struct auth *a, const char *value, size_t len, struct principal *ret,
               struct error *err)
{
    if (value == NULL)
        return auth_refuse(err, "The Authorization header is missing");
    const char *end = value + len;
    const char *p = auth_skip_blank(value, end);
    if ((size_t)(end - p) <= AUTH_SCHEME_LEN || strncasecmp(p, AUTH_SCHEME, AUTH_SCHEME_LEN) != 0 ||
        (p[AUTH_SCHEME_LEN] != ' ' && p[AUTH_SCHEME_LEN] != '\t'))
        return auth_refuse(err, "The Authorization header must read 'Bearer <token>'");
    p = auth_skip_blank(p + AUTH_SCHEME_LEN, end);
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t credential = (size_t)(end - p);
    if (credential == 0 || credential > AUTH_MAX_CREDENTIAL)
        return auth_refuse(err, "The Authorization header must read 'Bearer <token>'");
    /* A dot is in every signed token and in no key. */
    if (a->tokens != NULL && memchr(p, '.', credential) != NULL)
        return token_check(a->tokens, p, credential, ret, err);
    const struct apikey *k = apikey_verify(a->keys, p, credential);
    if (k == NULL)
        return auth_refuse(err, "The API key or token is not valid");
    *ret = (struct principal){
        .role = k->role, .scopes = role_scopes(k->role), .has_rate = k->has_rate, .rate = k->rate};
    memcpy(ret->account, k->account, sizeof(k->account));
    memcpy(ret->key_id, k->id, sizeof(k->id));
    return 0;
}
