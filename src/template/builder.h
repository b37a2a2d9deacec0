/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder.h - makes what templates lack while the server serves: root file systems of those that
 * have only a recipe, by `corrald template build`, and snapshots, by `corrald template snapshot`.
 * Each runs in a process of its own, which ends with the server; the log has its phases. Sandboxes
 * of a template without a snapshot boot cold.
 */
#ifndef CORRAL_TEMPLATE_BUILDER_H
#define CORRAL_TEMPLATE_BUILDER_H

#include <uv.h>

#include "base/buf.h"
#include "config/config.h"
#include "template/job.h"
#include "template/template.h"

/* The first does whatever is to be done, one after the other; the second only what a client waits
 * for, which must not stand behind hours of other templates. */
#define BUILDER_JOBS 2

struct builder_job {
    struct template_job job;
    struct template_builder *builder;
    struct template *t; /* NULL: idle */
    bool snapshot;      /* of a template that is built */
    uint64_t until_ms;  /* uv_now() at which it is ended */
    struct buf log;     /* its last lines */
};

/* Embedded in its owner; the fields are builder.c's alone. */
struct template_builder {
    uv_loop_t *loop;
    const struct config *config;
    const char *isolation;
    struct template_set *set;
    struct builder_job jobs[BUILDER_JOBS];
    uv_timer_t tick;
    bool stopped;
};

/* A wait for a template to be built. Embedded in its owner, and taken off the list before `done` is
 * called. Cancel it with list_del. */
struct template_wait {
    struct list node;
    uint64_t until_ms; /* the builder's */
    /* `err` is NULL when the template is built. */
    void (*done)(struct template_wait *w, const struct error *err);
};

/* Nothing runs until the first check. `isolation` names the driver that the templates are for. */
void template_builder_init(struct template_builder *b, uv_loop_t *loop, const struct config *config,
                           const char *isolation, struct template_set *set);

/* Starts what is to be done, if anything is. To be called after the templates were read. A build
 * ends with a SIGHUP to the server, which reads the templates again. */
void template_builder_check(struct template_builder *b);

/* Asks for a template that is not built. 0 and `w->done` follows, at the latest after `wait_ms`
 * (0: when the build is over, which has a limit of its own). -EAGAIN with `err`: it is not going to
 * be built now, because this server builds none, or because the last try has failed just now. */
int template_builder_wait(struct template_builder *b, const struct template *t,
                          struct template_wait *w, uint64_t wait_ms, struct error *err);

/* When it is worth asking again for a template, in seconds. */
unsigned int template_builder_retry_s(const struct template_builder *b, const struct template *t);

/* "ready", "building", "failed" or "not_built". */
const char *template_builder_status(const struct template *t);

/* The VMM refused the snapshot of the template in directory `dir`: it is made again. */
void template_builder_refused(struct template_builder *b, const char *dir);

/* Ends what runs. Nothing else is started. */
void template_builder_stop(struct template_builder *b);

#endif
