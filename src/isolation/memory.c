/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/memory.h"

#include <stdlib.h>

#include "base/base.h"

struct instance_memory *instance_memory_new(void)
{
    struct instance_memory *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return NULL;
    m->refs = 1;
    for (size_t i = 0; i < INSTANCE_MEMORY_FDS; i++)
        m->fds[i] = -1;
    return m;
}

struct instance_memory *instance_memory_get(struct instance_memory *m)
{
    if (m != NULL)
        m->refs++;
    return m;
}

void instance_memory_put(struct instance_memory **m)
{
    struct instance_memory *one = *m;
    *m = NULL;
    if (one == NULL || --one->refs > 0)
        return;
    for (size_t i = 0; i < INSTANCE_MEMORY_FDS; i++)
        base_close_p(&one->fds[i]);
    free(one);
}
