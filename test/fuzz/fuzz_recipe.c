/* SPDX-License-Identifier: Apache-2.0 */
/* A recipe: taken apart or refused with a reason, and nothing out of range comes out. */
#include <stdlib.h>
#include <string.h>

#include "template/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct recipe r;
    int rv = recipe_parse(&r, (const char *)data, size, &err);
    if (rv < 0) {
        require(err.code != ERROR_NONE && err.message[0] != '\0');
        require(r.name == NULL && r.description == NULL && r.aliases == NULL);
        return 0;
    }
    require(recipe_name_ok(r.name) && r.description != NULL);
    require(r.vcpus >= 1 && r.vcpus <= 8 && r.memory_mb >= 64 && r.disk_mb >= 64);
    for (char **alias = r.aliases; alias != NULL && *alias != NULL; alias++)
        require((*alias)[0] != '\0' && strpbrk(*alias, " \t\n") == NULL);
    recipe_done(&r);
    return 0;
}
