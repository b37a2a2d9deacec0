/* SPDX-License-Identifier: Apache-2.0 */
/* owner.c - see owner.h. Strings are copied: a create outlives its request when the client leaves.
 */
#include "sandbox/owner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The vector and its strings in one allocation, like json_get_env makes them. */
static char *const *sandbox_env_copy(char *const *env)
{
    size_t count = 0, bytes = 0;
    for (; env != NULL && env[count] != NULL; count++)
        bytes += strlen(env[count]) + 1;
    char **copy = malloc((count + 1) * sizeof(char *) + bytes);
    if (copy == NULL)
        return NULL;
    char *text = (char *)(copy + count + 1);
    for (size_t i = 0; i < count; i++) {
        copy[i] = text;
        text = stpcpy(text, env[i]) + 1;
    }
    copy[count] = NULL;
    return copy;
}

static char *copy_or_null(const char *s)
{
    return s != NULL ? strdup(s) : NULL;
}

int sandbox_owner_init(struct sandbox_owner *o, const struct sandbox_params *params)
{
    *o = (struct sandbox_owner){
        .account = strdup(params->account),
        .provider = strdup(params->provider),
        .region = strdup(params->region),
        .metadata = strdup(params->metadata),
        .idempotency_key = copy_or_null(params->idempotency_key),
        .request_hash = params->request_hash,
        .name = copy_or_null(params->name),
        .network = copy_or_null(params->network),
        .ties = copy_or_null(params->ties),
        .timeout_s = params->timeout_s,
        .life = params->life,
        .env = sandbox_env_copy(params->env),
    };
    bool lost = (params->idempotency_key != NULL && o->idempotency_key == NULL) ||
                (params->name != NULL && o->name == NULL) ||
                (params->network != NULL && o->network == NULL) ||
                (params->ties != NULL && o->ties == NULL);
    if (o->account != NULL && o->provider != NULL && o->region != NULL && o->metadata != NULL &&
        o->env != NULL && !lost)
        return 0;
    sandbox_owner_done(o);
    return -ENOMEM;
}

void sandbox_owner_done(struct sandbox_owner *o)
{
    free(o->account);
    free(o->provider);
    free(o->region);
    free(o->metadata);
    free(o->idempotency_key);
    free(o->name);
    free(o->network);
    free(o->ties);
    free((void *)o->env);
    *o = (struct sandbox_owner){0};
}
