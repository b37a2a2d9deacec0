/* SPDX-License-Identifier: Apache-2.0 */
/*
 * type.h - a kind of isolation driver, as its folder exports it: the one symbol that anything
 * outside the folder needs. The list of all is made from the list of folders in meson.build; a new
 * driver adds its folder, its name there, and its word for --isolation in the table of options.
 */
#ifndef CORRAL_ISOLATION_TYPE_H
#define CORRAL_ISOLATION_TYPE_H

#include "config/config.h"
#include "isolation/driver.h"

/* A process of the driver's own: this program, started again as `corrald NAME ARGUMENT...`. */
struct isolation_verb {
    const char *name;
    int (*run)(char **args); /* returns the exit status */
};

/* Folder NAME defines `const struct isolation_type NAME_isolation`. */
struct isolation_type {
    const struct isolation_ops *ops;
    const char *plural; /* what its sandboxes are, for logs and errors: "containers" */
    /* A guest is one fault of the host's kernel away from the host. Such a driver serves loopback
     * addresses only, unless the owner of the machine allows more. */
    bool weak;
    /* NULL, with `err` filled, when this machine cannot run it. May block; start-up only. */
    struct isolation_driver *(*open)(uv_loop_t *loop, const struct config *config,
                                     struct error *err);
    const struct isolation_verb *verbs; /* the last is zeroed; NULL: none */
};

/* In order of preference, NULL at the end. */
extern const struct isolation_type *const isolation_types[];

/* The driver that --isolation names; NULL when the server is to choose. */
static inline const struct isolation_type *isolation_type_asked(const struct config *config)
{
    return config->isolation != ISOLATION_AUTO ? isolation_types[config->isolation - 1] : NULL;
}

#endif
