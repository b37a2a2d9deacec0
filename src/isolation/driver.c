/* SPDX-License-Identifier: Apache-2.0 */
/* driver.c - what is the same for every driver: helper processes, ids, the walk of a sweep. */
#include "isolation/driver.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "isolation/type.h"

bool driver_helper_main(int argc, char **argv, int *ret_status)
{
    for (size_t i = 0; argc > 1 && isolation_types[i] != NULL; i++) {
        const struct isolation_verb *v = isolation_types[i]->verbs;
        for (; v != NULL && v->name != NULL; v++) {
            if (strcmp(argv[1], v->name) == 0) {
                *ret_status = v->run(argv + 2);
                return true;
            }
        }
    }
    return false;
}

bool driver_id_valid(const char *id)
{
    return strlen(id) == DRIVER_ID_LEN && strspn(id, "0123456789abcdef-") == DRIVER_ID_LEN;
}

void driver_sweep_dir(const char *state_dir, const char *name,
                      bool (*keep)(void *ctx, const char *id), void *keep_ctx,
                      void (*sweep)(void *ctx, const char *name, const char *id), void *sweep_ctx)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", state_dir, name);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (driver_id_valid(e->d_name) && !keep(keep_ctx, e->d_name))
            sweep(sweep_ctx, name, e->d_name);
    }
    (void)closedir(dir);
}
