/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.c - see capture.h.
 *
 * The happy path is: sandbox_capture begins a snapshot and has the driver fill its directory,
 * capture_on_made has it kept, capture_on_kept tells who waits. A sandbox that was put away has no
 * instance: its files get other names, on the pool. Possible failure modes are:
 * - The driver cannot, or the disk is full: the snapshot goes, and the sandbox runs on.
 * - It leaves less space than the reserve: it goes, too.
 * - The sandbox ends: the driver says no more, and sandbox_capture_lost comes when nobody writes to
 *   the directory any more. Who works on the pool is waited for.
 * - It cannot be kept: the snapshot has gone, and who waits is told.
 */
#include "sandbox/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/moves.h"
#include "sandbox/table_internal.h"

struct sandbox_capture {
    struct sandbox *sb; /* NULL: it has been told, or may have gone */
    struct snapshot *sn;
    struct list waits; /* struct capture_wait; one, unless its owner went away */
    bool passing;
    /* On the pool. */
    const struct isolation_driver *driver;
    uv_work_t work;
    char *stored; /* owned: the directory of a sandbox that was put away; NULL: it is not */
    int status;
    struct error err;
    struct error lost; /* of the sandbox, meanwhile */
};

static void capture_on_made(void *ctx, int status, const struct error *err);
static void capture_link(uv_work_t *work);
static void capture_on_linked(uv_work_t *work, int status);
static void capture_on_kept(void *ctx, struct snapshot *sn, const struct error *err);

enum snapshot_kind sandbox_capture_kind(const struct sandbox_table *t)
{
    return (t->host.driver->ops->abilities & ISOLATION_KEEPS_MEMORY) != 0 ? SNAPSHOT_MEMORY
                                                                          : SNAPSHOT_DISK;
}

static int capture_check(const struct sandbox *sb, bool passing, struct error *err)
{
    const struct sandbox_table *t = sb->table;
    uint64_t free_bytes = 0;
    if (t->stopping)
        return error_set(err, ERROR_UNAVAILABLE, "The server is stopping");
    if (sb->phase != SANDBOX_RUNNING && sb->phase != SANDBOX_PAUSED)
        return error_set(err, sb->phase < SANDBOX_STOPPING ? ERROR_CONFLICT : ERROR_INVALID_STATE,
                         "Sandbox is neither running nor paused (%s)",
                         sandbox_status_str(sb->status));
    if (sb->capture != NULL)
        return error_set(err, ERROR_CONFLICT, "A snapshot of the sandbox is being made");
    if (sb->template_ms == 0)
        return error_set(err, ERROR_INVALID_STATE,
                         "The sandbox is of an earlier version of the server");
    if (space_is_low(t->host.space, &free_bytes))
        return error_set(err, ERROR_HOST_FULL, "The host's disk has only %llu MiB left",
                         (unsigned long long)(free_bytes >> 20));
    return passing ? 0 : sandbox_table_may_keep(t, sb->owner.account, err);
}

/* What is only needed for a moment does not go by the disk, where the driver can do without; of one
 * that was put away it is there already. */
static bool capture_is_live(const struct sandbox *sb)
{
    return (sb->host->driver->ops->abilities & ISOLATION_FORKS) != 0 && !sb->stored;
}

static struct snapshot *capture_begin(const struct sandbox *sb, const struct capture_about *about,
                                      struct error *err)
{
    const struct sandbox_table *t = sb->table;
    const struct snapshot_params p = {
        .account = sb->owner.account,
        .name = about->name,
        .description = about->description,
        .source = about->source,
        .provider = sb->owner.provider,
        .region = sb->owner.region,
        .sandbox_id = sb->id,
        .template_id = sb->template_id,
        .template_name = sb->template_name,
        .template_ms = sb->template_ms,
        .driver = t->host.driver->ops->name,
        .kind = about->files_only ? SNAPSHOT_DISK : sandbox_capture_kind(t),
        .vcpus = sb->vcpus,
        .memory_mb = sb->memory_mb,
        .disk_mb = sb->disk_mb,
        .passing = about->passing,
        .live = about->passing && capture_is_live(sb),
    };
    if (about->name != NULL && (template_find(t->templates, about->name) != NULL ||
                                snapshots_find(t->snapshots, NULL, about->name) != NULL)) {
        error_set(err, ERROR_CONFLICT, "There is a template '%.100s'", about->name);
        return NULL;
    }
    return snapshot_begin(t->snapshots, &p, err);
}

static int capture_start_link(struct sandbox_capture *c, const struct sandbox *sb,
                              struct error *err)
{
    c->driver = sb->host->driver;
    c->stored = strdup(sb->dir);
    if (c->stored == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    (void)uv_queue_work(c->driver->loop, &c->work, capture_link, capture_on_linked);
    return 0;
}

/* The driver begins. */
static int capture_start(struct sandbox_capture *c, struct sandbox *sb, struct error *err)
{
    const struct snapshot *sn = c->sn;
    if (sb->stored)
        return capture_start_link(c, sb, err);
    int rv = sn->memory != NULL ? instance_fork(sb->instance, sn->dir, sn->memory, capture_on_made)
                                : instance_snapshot(sb->instance, sn->dir, capture_on_made);
    if (rv == -EDQUOT)
        return error_set(err, ERROR_QUOTA_EXCEEDED,
                         "The host has not the memory for a copy of the sandbox's");
    if (rv == -EAGAIN)
        return error_set(err, ERROR_UNAVAILABLE, "Too many sandboxes are being forked");
    if (rv < 0)
        return error_set_errno(err, rv == -EOPNOTSUPP ? ERROR_UNSUPPORTED : ERROR_SANDBOX_FAILED,
                               rv, "No snapshot of the sandbox can be made");
    return 0;
}

int sandbox_capture(struct sandbox *sb, const struct capture_about *about, struct capture_wait *w,
                    struct error *err)
{
    int rv = capture_check(sb, about->passing, err);
    if (rv < 0)
        return rv;
    struct sandbox_capture *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    c->sn = capture_begin(sb, about, err);
    rv = c->sn == NULL ? -EINVAL : capture_start(c, sb, err);
    if (rv < 0) {
        if (c->sn != NULL)
            snapshot_drop(c->sn);
        free(c);
        return rv;
    }
    c->sb = sb;
    c->passing = about->passing;
    list_init(&c->waits);
    list_add_tail(&c->waits, &w->node);
    sb->capture = c;
    return 0;
}

/* The capture is over. */
static void capture_tell(struct sandbox_capture *c, struct snapshot *sn, const struct error *err)
{
    struct sandbox *sb = c->sb;
    if (list_empty(&c->waits)) {
        if (sn != NULL && c->passing)
            snapshot_drop(sn);
    } else {
        struct capture_wait *w = list_first(&c->waits, struct capture_wait, node);
        list_del(&w->node);
        w->done(w, sb, sn, err);
    }
    free(c->stored);
    free(c);
}

static void capture_failed(struct sandbox_capture *c, const struct error *err)
{
    snapshot_drop(c->sn);
    capture_tell(c, NULL, err);
}

static void capture_on_made(void *ctx, int status, const struct error *err)
{
    struct sandbox *sb = ctx;
    const struct sandbox_table *t = sb->table;
    struct sandbox_capture *c = sb->capture;
    struct error full;
    uint64_t free_bytes = 0;
    sb->capture = NULL;
    error_set(&full, ERROR_HOST_FULL,
              "The snapshot does not fit beside the reserve of the host's "
              "disk (--disk-reserve)");
    if (status < 0)
        capture_failed(c, err);
    else if (space_is_low(t->host.space, &free_bytes))
        capture_failed(c, &full);
    else if (c->passing)
        capture_tell(c, c->sn, NULL);
    else
        snapshot_keep(c->sn, capture_on_kept, c);
    sandbox_captured(sb);
}

static void capture_link(uv_work_t *work)
{
    struct sandbox_capture *c = container_of(work, struct sandbox_capture, work);
    c->status = isolation_snapshot_stored(c->driver, c->stored, c->sn->dir, &c->err);
}

static void capture_on_linked(uv_work_t *work, int status)
{
    struct sandbox_capture *c = container_of(work, struct sandbox_capture, work);
    struct sandbox *sb = c->sb;
    (void)status; /* nobody cancels it */
    if (sb != NULL && sb->phase < SANDBOX_STOPPING) {
        capture_on_made(sb, c->status, &c->err);
        return;
    }
    if (sb != NULL)
        sandbox_capture_lost(sb); /* its files may have been going */
    capture_failed(c, &c->lost);
}

static void capture_on_kept(void *ctx, struct snapshot *sn, const struct error *err)
{
    struct sandbox_capture *c = ctx;
    c->sb = NULL;
    capture_tell(c, sn, err);
}

void sandbox_capture_lost(struct sandbox *sb)
{
    struct sandbox_capture *c = sb->capture;
    if (c == NULL)
        return;
    sb->capture = NULL;
    error_set(&c->lost, ERROR_SANDBOX_GONE, "The sandbox has ended (%s)",
              sandbox_status_str(sb->status));
    if (c->stored != NULL)
        c->sb = NULL; /* capture_on_linked goes on */
    else
        capture_failed(c, &c->lost);
}

int sandbox_capture_fits(const struct sandbox_table *t, const struct snapshot *sn,
                         const struct template *tpl, struct error *err)
{
    if (sn->inactive)
        return error_set(err, ERROR_CONFLICT, "The snapshot is inactive");
    if (strcmp(sn->driver, t->host.driver->ops->name) != 0)
        return error_set(err, ERROR_UNSUPPORTED, "The snapshot is of the driver %s, and this is %s",
                         sn->driver, t->host.driver->ops->name);
    /* The snapshot of a microVM has the template's disk, that of a container lies above its files.
     */
    if (tpl == NULL || (sandbox_capture_kind(t) == SNAPSHOT_DISK &&
                        (!tpl->built || tpl->updated_ms != sn->template_ms)))
        return error_set(err, ERROR_CONFLICT,
                         "The template '%.64s' has gone or was built again since the snapshot was "
                         "made of it",
                         sn->template_name);
    return 0;
}

const struct template *sandbox_capture_named(const struct sandbox_table *t, const char *name,
                                             struct sandbox_params *p, struct error *err)
{
    const struct template *tpl = template_find(t->templates, name);
    if (tpl != NULL)
        return tpl;
    struct snapshot *sn = snapshots_find(t->snapshots, p->account, name);
    if (sn == NULL)
        sn = snapshots_find(t->snapshots, NULL, name);
    if (sn != NULL)
        return sandbox_capture_use(t, sn, p, err);
    error_set(err, ERROR_TEMPLATE_NOT_FOUND, "Template '%.100s' not found", name);
    return NULL;
}

const struct template *sandbox_capture_use(const struct sandbox_table *t, struct snapshot *sn,
                                           struct sandbox_params *p, struct error *err)
{
    const struct template *tpl = template_find(t->templates, sn->template_id);
    if (sandbox_capture_fits(t, sn, tpl, err) < 0)
        return NULL;
    p->snapshot = sn;
    p->vcpus = sn->vcpus;
    p->memory_mb = sn->memory_mb;
    p->disk_mb = sn->disk_mb;
    return tpl;
}

unsigned int sandbox_capture_children(const struct sandbox_table *t, const struct snapshot *sn,
                                      unsigned int *ret_starting)
{
    unsigned int children = 0;
    *ret_starting = 0;
    list_for_each (it, &t->by_age) {
        const struct sandbox *sb = list_entry(it, struct sandbox, by_age);
        bool back = sb->resume_from != NULL && strcmp(sb->resume_from, sn->dir) == 0;
        bool child = strcmp(sb->snapshot_id, sn->id) == 0;
        if (sb->phase >= SANDBOX_STOPPING || (!child && !back))
            continue;
        children += child;
        *ret_starting += back || sb->creating;
    }
    return children;
}

int sandbox_capture_delete(const struct sandbox_table *t, struct snapshot *sn, struct error *err)
{
    unsigned int starting = 0;
    (void)sandbox_capture_children(t, sn, &starting);
    if (starting > 0)
        return error_set(err, ERROR_CONFLICT,
                         "%u sandboxes start from the snapshot, or go back to it", starting);
    snapshot_drop(sn);
    return 0;
}
