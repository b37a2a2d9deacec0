/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/environment_id.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ENVIRONMENT_PREFIX "env-"

const char *environment_id(char out[ENVIRONMENT_ID_SIZE], const char *sandbox_id)
{
    char *to = stpcpy(out, ENVIRONMENT_PREFIX);
    for (const char *p = sandbox_id; *p != '\0' && to < out + ENVIRONMENT_ID_SIZE - 1; p++) {
        if (*p != '-')
            *to++ = *p;
    }
    *to = '\0';
    return out;
}

int environment_parse(char out[ID_SIZE], const char *text)
{
    char id[ID_SIZE];
    size_t prefix = strlen(ENVIRONMENT_PREFIX);
    if (strncmp(text, ENVIRONMENT_PREFIX, prefix) != 0 || strlen(text) != ENVIRONMENT_ID_SIZE - 1)
        return -EINVAL;
    const char *hex = text + prefix;
    (void)snprintf(id, sizeof(id), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                   hex + 20);
    return id_parse(out, id);
}
