/* SPDX-License-Identifier: Apache-2.0 */
/* template_build.h - what `corrald template build` and `snapshot` do, and how they end. */
#ifndef CORRAL_CMD_TEMPLATE_BUILD_H
#define CORRAL_CMD_TEMPLATE_BUILD_H

#include <limits.h>
#include <stdbool.h>

#include "config/config.h"

struct template_options {
    const char *name;   /* NULL: of the recipe in `recipe` */
    const char *recipe; /* a file; NULL: the recipe of that name */
    const char *mirror; /* of Debian; NULL: the usual one */
    bool kvm;           /* images for microVMs even where none can run */
    bool new_kernel;
    /* For a server that starts this. */
    const char *parent; /* the pid of the process with which this one ends; NULL: none */
    bool wait;          /* for another build of the template, whose result then counts */
    bool low;           /* at low priority */
};

/* Make the root file system of a recipe and, for a server that runs microVMs, images and snapshot.
 * 0, or a negative errno with `err` filled. Nothing is left of a build that ends early. */
int template_build(const struct config *config, const struct template_options *o,
                   struct error *err);
/* Makes the images if they are out of date, then the snapshot. Beside a running server, too: its
 * sandboxes keep the files they run on until they end. */
int template_snapshot(const struct config *config, const struct template_options *o,
                      struct error *err);

/* Sandboxes that run have the template's files underneath: -EBUSY when there may be some. */
int template_check_unused(const struct config *config, const char *path, struct error *err);
/* A server that runs on this state directory reads its templates again. */
void template_tell_server(const struct config *config);

/* Runs a program in the foreground. Signals that would end this process end the program, which
 * cleans up; so does the end of this process. The wait status, or a negative errno with `err`. */
int template_run(char *const argv[], struct error *err);

#endif
