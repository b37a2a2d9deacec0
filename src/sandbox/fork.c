/* SPDX-License-Identifier: Apache-2.0 */
/* fork.c - see fork.h. The snapshot goes as soon as the last child runs or has failed. */
#include "sandbox/fork.h"

#include <string.h>

#include "base/log.h"
#include "sandbox/table_internal.h"

static void fork_on_captured(struct capture_wait *w, struct sandbox *parent, struct snapshot *sn,
                             const struct error *err);
static void fork_on_running(struct sandbox_wait *w, struct sandbox *sb, const struct error *err);

static void fork_init(struct sandbox_fork *f, struct sandbox_table *t)
{
    f->table = t;
    f->wait.done = fork_on_captured;
    list_init(&f->wait.node);
    for (unsigned int i = 0; i < f->count; i++) {
        f->children[i].fork = f;
        f->children[i].wait.done = fork_on_running;
        list_init(&f->children[i].wait.node);
    }
}

void sandbox_fork_params(const struct sandbox_fork *f, const struct sandbox *parent,
                         struct sandbox_params *ret)
{
    *ret = (struct sandbox_params){
        .account = parent->owner.account,
        .provider = parent->owner.provider,
        .region = parent->owner.region,
        .env = f->env,
        .metadata = f->metadata != NULL ? f->metadata : parent->owner.metadata,
        .timeout_s = f->timeout_s != 0 ? f->timeout_s : parent->owner.timeout_s,
        .life = parent->owner.life,
        .network = parent->owner.network,
        .ties = parent->owner.ties,
    };
}

int sandbox_fork_begin(struct sandbox_fork *f, struct sandbox *parent, struct error *err)
{
    fork_init(f, parent->table);
    return sandbox_capture(parent, &(struct capture_about){.passing = true}, &f->wait, err);
}

static void fork_drop_snapshot(struct sandbox_fork *f)
{
    if (f->sn != NULL)
        snapshot_drop(f->sn);
    f->sn = NULL;
}

/* One of them has its result. */
static void fork_count(struct sandbox_fork *f)
{
    if (--f->left > 0)
        return;
    fork_drop_snapshot(f);
    f->done(f, NULL);
}

static void fork_start(struct sandbox_fork *f, struct sandbox_fork_child *child,
                       const struct sandbox_params *params, const struct template *tpl)
{
    struct sandbox *sb = tpl == NULL ? NULL
                                     : sandbox_table_create(f->table, tpl, params, &child->wait,
                                                            &child->err);
    if (sb != NULL)
        memcpy(child->id, sb->id, sizeof(child->id));
    else
        fork_count(f);
}

static void fork_start_all(struct sandbox_fork *f, const struct sandbox_params *params,
                           const struct template *tpl)
{
    f->left = f->count + 1; /* this one, so that `done` comes last */
    for (unsigned int i = 0; i < f->count; i++)
        fork_start(f, &f->children[i], params, tpl);
    fork_count(f);
}

void sandbox_fork_from(struct sandbox_fork *f, struct sandbox_table *t, const struct template *tpl,
                       const struct sandbox_params *params)
{
    fork_init(f, t);
    memcpy(f->snapshot_id, params->snapshot->id, sizeof(f->snapshot_id));
    fork_start_all(f, params, tpl);
}

static void fork_note(struct sandbox_fork *f, const struct sandbox *parent)
{
    const struct instance_memory *m = f->sn->memory;
    f->live = m != NULL;
    if (m == NULL)
        return;
    f->bytes = m->bytes;
    f->pause_us = m->pause_us;
    log_info("sandbox forked", "sandbox=%s children=%u bytes=%llu pause_us=%llu", parent->id,
             f->count, (unsigned long long)m->bytes, (unsigned long long)m->pause_us);
}

/* The parent stays valid here: children are created before anything else can happen to it. */
static void fork_on_captured(struct capture_wait *w, struct sandbox *parent, struct snapshot *sn,
                             const struct error *err)
{
    struct sandbox_fork *f = container_of(w, struct sandbox_fork, wait);
    struct error reason;
    if (err != NULL) {
        f->done(f, err);
        return;
    }
    f->sn = sn;
    fork_note(f, parent);
    struct sandbox_params params;
    sandbox_fork_params(f, parent, &params);
    const struct template *tpl = sandbox_capture_use(f->table, sn, &params, &reason);
    if (tpl == NULL) {
        fork_drop_snapshot(f);
        f->done(f, &reason);
        return;
    }
    fork_start_all(f, &params, tpl);
}

static void fork_on_running(struct sandbox_wait *w, struct sandbox *sb, const struct error *err)
{
    struct sandbox_fork_child *child = container_of(w, struct sandbox_fork_child, wait);
    memcpy(child->id, sb->id, sizeof(child->id)); /* it may fail inside its creation */
    if (err != NULL)
        child->err = *err;
    fork_count(child->fork);
}

void sandbox_fork_cancel(struct sandbox_fork *f)
{
    list_del(&f->wait.node);
    fork_drop_snapshot(f);
    for (unsigned int i = 0; i < f->count; i++) {
        list_del(&f->children[i].wait.node);
        struct sandbox *sb = f->children[i].id[0] != '\0'
                                 ? sandbox_table_lookup(f->table, f->children[i].id)
                                 : NULL;
        if (sb != NULL)
            sandbox_end(sb, SANDBOX_STATUS_TERMINATED, "The client went away", NULL);
    }
}
