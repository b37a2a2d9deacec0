/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder.h - makes the snapshots that templates lack while the server serves: one after the other,
 * each by `corrald template snapshot NAME` in a process of its own. The log has the phases of that
 * process. Sandboxes of a template that is not ready yet boot cold.
 */
#ifndef CORRAL_TEMPLATE_BUILDER_H
#define CORRAL_TEMPLATE_BUILDER_H

#include <uv.h>

#include "base/buf.h"
#include "config/config.h"
#include "template/template.h"

/* Embedded in its owner; the fields are builder.c's alone. */
struct template_builder {
    uv_loop_t *loop;
    const struct config *config;
    struct template_set *set;
    uv_process_t process;
    uv_pipe_t output;
    int open; /* handles of the process that runs; 0: none runs */
    struct template *current;
    struct buf line;
    bool stopped;
};

/* Nothing runs until the first check. */
void template_builder_init(struct template_builder *b, uv_loop_t *loop, const struct config *config,
                           struct template_set *set);

/* Starts a build when a template needs one. To be called after the templates were read. The build
 * ends with a SIGHUP to the server, which reads the templates again. */
void template_builder_check(struct template_builder *b);

/* The VMM refused the snapshot of the template in directory `dir`: it is made again. */
void template_builder_refused(struct template_builder *b, const char *dir);

/* Ends the build that runs. No other is started. */
void template_builder_stop(struct template_builder *b);

#endif
