/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - corrald: options, then the server or a sub command. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "cmd/key.h"
#include "cmd/probe.h"
#include "cmd/template.h"
#include "cmd/user.h"
#include "config/config.h"
#include "isolation/driver.h"
#include "server.h"

static const struct {
    const char *name;
    int (*run)(const struct config *config, struct error *err);
} commands[] = {
    {"key", key_cmd},
    {"probe", probe_cmd},
    {"template", template_cmd},
    {"user", user_cmd},
};

static int run(const struct config *config, struct error *err)
{
    if (config->n_args == 0)
        return server_run(config, err);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].name, config->args[0]) == 0)
            return commands[i].run(config, err);
    }
    return error_set(err, ERROR_INVALID_ARGUMENT, "Unknown command '%s'; see corrald --help",
                     config->args[0]);
}

/* Large buffers (bodies, output) go back to the kernel when they are freed. Without fixed
 * thresholds glibc raises them with each large buffer freed, and an idle server keeps what a busy
 * one needed. */
static void keep_memory_flat(void)
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
    keep_memory_flat();
    int rv = config_load(&config, argc, argv, &err);
    if (rv == CONFIG_EXIT)
        return 0;
    if (rv == 0) {
        log_set_level((enum log_level)config->log_level);
        rv = run(config, &err);
    }
    if (rv < 0)
        fprintf(stderr, "corrald: %s\n", err.message);
    config_free(config);
    return rv < 0 ? 1 : 0;
}
