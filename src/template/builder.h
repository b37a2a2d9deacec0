/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder.h - makes the snapshots that templates lack while the server serves: one after
 * the other, each by `corrald template snapshot NAME` as a process of its own, whose phases go into
 * the log. A template that is not ready yet boots its sandboxes cold.
 */
#ifndef CORRAL_TEMPLATE_BUILDER_H
#define CORRAL_TEMPLATE_BUILDER_H

#include <uv.h>

#include "base/buf.h"
#include "config/config.h"
#include "template/template.h"

/* Embedded in its owner; fields are template_builder.c's alone. */
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

/* To be called when the templates were read: starts a build when one is needed. The build ends with
 * a SIGHUP to the server, which reads the templates again. */
void template_builder_check(struct template_builder *b);

/* The VMM refused the snapshot of the template in directory `dir`: it is made again. */
void template_builder_refused(struct template_builder *b, const char *dir);

/* Ends what runs, starts nothing more. */
void template_builder_stop(struct template_builder *b);

#endif
