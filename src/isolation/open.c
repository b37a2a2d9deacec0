/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.c - which driver a server gets: the one that --isolation names, or, for "auto", the first of
 * the list that this machine can run. A fallback to the next of the list is logged with its reason.
 * When none can be opened the error is that of the last one tried.
 */
#include "isolation/open.h"

#include <stdio.h>

#include "base/log.h"
#include "isolation/type.h"

static struct isolation_driver *isolation_open_type(const struct isolation_type *type,
                                                    uv_loop_t *loop, const struct config *config,
                                                    struct error *err)
{
    if (type->weak && !config_is_loopback(&config->listen) && !config->allow_weak_isolation) {
        (void)error_set(err, ERROR_INVALID_ARGUMENT,
                        "Sandboxes would be %s, a weaker wall than microVMs: these are served on a "
                        "loopback address only, unless --allow-weak-isolation is given",
                        type->plural);
        return NULL;
    }
    return type->open(loop, config, err);
}

struct isolation_driver *isolation_open(uv_loop_t *loop, const struct config *config,
                                        struct error *err)
{
    const struct isolation_type *asked = isolation_type_asked(config), *failed = NULL;
    struct error reason = {0};
    char text[100], quoted[300];
    for (size_t i = 0; isolation_types[i] != NULL; i++) {
        const struct isolation_type *type = isolation_types[i];
        if (asked != NULL && type != asked)
            continue;
        if (failed != NULL) {
            (void)snprintf(text, sizeof(text), "sandboxes are %s, not %s", type->plural,
                           failed->plural);
            log_warn(text, "reason=%s", log_quote(quoted, sizeof(quoted), reason.message));
        }
        struct isolation_driver *driver = isolation_open_type(type, loop, config, &reason);
        if (driver != NULL)
            return driver;
        failed = type;
    }
    *err = reason;
    return NULL;
}
