/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - corrald: options, then the server or a sub command. */
#include <malloc.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "isolation/driver.h"
#include "server.h"

/* Large buffers (bodies, output) go back to the kernel when they are freed. Without fixed
 * thresholds glibc raises them with each large buffer freed, and an idle server would keep the
 * memory of its busiest moment. */
static void main_keep_memory_flat(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 512 * 1024);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct config *config = NULL;
    int status = 0;
    if (driver_helper_main(argc, argv, &status))
        return status;
    main_keep_memory_flat();
    int rv = config_load(&config, argc, argv, cmd_help, &err);
    if (rv == CONFIG_EXIT)
        return 0;
    if (rv == 0) {
        log_set_level((enum log_level)config->log_level);
        rv = config->n_args == 0 ? server_run(config, &err) : cmd_run(config, &err);
    }
    if (rv < 0)
        fprintf(stderr, "corrald: %s\n", err.message);
    config_free(config);
    return rv < 0 ? 1 : 0;
}
