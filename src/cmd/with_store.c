/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/with_store.h"

#include <errno.h>
#include <uv.h>

int cmd_with_store(const struct config *config, bool beside,
                   int (*run)(struct store *store, char **args, struct error *err),
                   struct error *err)
{
    uv_loop_t loop;
    struct store *store = NULL;
    size_t map_size = (size_t)config->map_size;
    int rv = uv_loop_init(&loop);
    if (rv < 0)
        return error_set_errno(err, ERROR_INTERNAL, rv, "Cannot start the loop");
    rv = store_open(&store, &loop, config->state_dir, config->db_dir, map_size, err);
    if (rv == -EBUSY && beside)
        rv = store_open_beside(&store, &loop, config->state_dir, config->db_dir, map_size, err);
    if (rv == 0) {
        rv = run(store, config->args + 1, err);
        store_close(store, NULL, NULL);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
    }
    (void)uv_loop_close(&loop);
    return rv;
}
