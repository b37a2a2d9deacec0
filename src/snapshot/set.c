/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set.c - see set.h for the life of one.
 *
 * A snapshot whose drop comes while a task of it is under way goes when that is over. Its memory is
 * freed when its directory is gone, so a drop may come at any moment.
 */
#include "snapshot/set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "core/file.h"
#include "snapshot/internal.h"

static void snapshot_on_record(struct store_wait *w, int status);
static void snapshot_on_forgotten(struct store_wait *w, int status);

struct snapshots *snapshots_new(uv_loop_t *loop, struct store *store, const char *state_dir,
                                unsigned int limit)
{
    struct snapshots *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->loop = loop;
    s->store = store;
    s->limit = limit;
    list_init(&s->all);
    list_init(&s->queue);
    if (asprintf(&s->dir, "%s/snapshots", state_dir) < 0) {
        free(s);
        return NULL;
    }
    return s;
}

static struct snapshot *snapshot_alloc(struct snapshots *s)
{
    struct snapshot *sn = calloc(1, sizeof(*sn));
    if (sn == NULL)
        return NULL;
    sn->set = s;
    list_init(&sn->node);
    list_init(&sn->queued);
    return sn;
}

static void snapshot_free(struct snapshot *sn)
{
    snapshot_free_strings(sn);
    free(sn->dir);
    instance_memory_put(&sn->memory);
    free(sn->link_dir);
    free(sn);
}

static int snapshot_place(struct snapshot *sn, const char *suffix)
{
    if (asprintf(&sn->dir, "%s/%s%s", sn->set->dir, sn->id, suffix) >= 0)
        return 0;
    sn->dir = NULL;
    return -ENOMEM;
}

/* --- at the start --- */

static void snapshots_insert(struct snapshots *s, struct snapshot *sn)
{
    struct list *pos = s->all.next;
    while (pos != &s->all && list_entry(pos, struct snapshot, node)->created_ms > sn->created_ms)
        pos = pos->next;
    list_add_tail(pos, &sn->node);
}

static int snapshots_load_record(void *ctx, const void *key, size_t keylen, const void *val,
                                 size_t vallen)
{
    struct snapshots *s = ctx;
    struct snapshot *sn = snapshot_alloc(s);
    if (sn == NULL)
        return -ENOMEM;
    int rv = snapshot_decode(sn, key, keylen, val, vallen);
    if (rv < 0)
        log_error("snapshot record skipped", "key=%.*s", (int)MIN(keylen, 36u), (const char *)key);
    if (rv < 0 || snapshot_place(sn, "") < 0) {
        snapshot_free(sn);
        return rv < 0 ? 0 : -ENOMEM;
    }
    sn->state = SNAPSHOT_KEPT;
    snapshots_insert(s, sn);
    return 0;
}

static bool snapshots_know(const struct snapshots *s, const char *name)
{
    list_for_each (it, &s->all) {
        if (strcmp(list_entry(it, struct snapshot, node)->id, name) == 0)
            return true;
    }
    return false;
}

/* The record of a directory that an operator has removed. */
static void snapshots_drop_lost(struct snapshots *s)
{
    list_for_each_safe (it, &s->all) {
        struct snapshot *sn = list_entry(it, struct snapshot, node);
        if (access(sn->dir, F_OK) == 0)
            continue;
        log_warn("the files of a snapshot are gone", "snapshot=%s", sn->id);
        (void)store_del(s->store, STORE_SNAPSHOTS, sn->id, ID_SIZE - 1);
        list_del(it);
        snapshot_free(sn);
    }
}

int snapshots_load(struct snapshots *s, struct error *err)
{
    int rv = file_make_dirs(s->dir, 0700);
    if (rv == 0)
        rv = store_each(s->store, STORE_SNAPSHOTS, snapshots_load_record, s);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot read the snapshots");
    snapshots_sweep(s, snapshots_know);
    snapshots_drop_lost(s);
    return 0;
}

/* --- questions --- */

static bool snapshot_is_of(const struct snapshot *sn, const char *account)
{
    bool owned = account == NULL ? sn->shared : !sn->shared && strcmp(sn->account, account) == 0;
    return owned && !sn->passing && sn->state != SNAPSHOT_GOING;
}

struct snapshot *snapshots_find(const struct snapshots *s, const char *account,
                                const char *name_or_id)
{
    list_for_each (it, &s->all) {
        struct snapshot *sn = list_entry(it, struct snapshot, node);
        if (snapshot_is_of(sn, account) && sn->state == SNAPSHOT_KEPT &&
            (strcasecmp(sn->id, name_or_id) == 0 ||
             (sn->name != NULL && strcmp(sn->name, name_or_id) == 0)))
            return sn;
    }
    return NULL;
}

void snapshots_each(const struct snapshots *s, const char *account,
                    void (*visit)(void *ctx, struct snapshot *sn), void *ctx)
{
    list_for_each (it, &s->all) {
        struct snapshot *sn = list_entry(it, struct snapshot, node);
        if (snapshot_is_of(sn, account) && sn->state == SNAPSHOT_KEPT)
            visit(ctx, sn);
    }
}

/* --- one is made --- */

/* A name is part of a path in a URL, and must not look like an id. */
static int snapshot_check_name(const char *name, struct error *err)
{
    static const char *const allowed =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    char id[ID_SIZE];
    size_t len = strlen(name);
    if (len == 0 || len > SNAPSHOT_NAME_MAX || strspn(name, allowed) != len || name[0] == '.' ||
        name[0] == '-' || id_parse(id, name) == 0)
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "A snapshot's name has 1 to %d of A-Z a-z 0-9 . _ -, begins with a letter "
                         "or digit or _, and is no UUID",
                         SNAPSHOT_NAME_MAX);
    return 0;
}

/* Of an account, or of the shared ones. */
static int snapshot_check(const struct snapshots *s, const struct snapshot_params *p, bool shared,
                          struct error *err)
{
    const char *whose = shared ? NULL : p->account;
    unsigned int count = 0, limit = shared ? SNAPSHOT_SHARED_MAX : s->limit;
    int rv = p->name != NULL ? snapshot_check_name(p->name, err) : 0;
    if (rv == 0 && p->description != NULL && strlen(p->description) > SNAPSHOT_TEXT_MAX)
        rv = error_set(err, ERROR_INVALID_ARGUMENT, "A snapshot's description has at most %d bytes",
                       SNAPSHOT_TEXT_MAX);
    list_for_each (it, &s->all) {
        const struct snapshot *sn = list_entry(it, struct snapshot, node);
        if (rv < 0 || !snapshot_is_of(sn, whose))
            continue;
        count++;
        if (p->name != NULL && sn->name != NULL && strcmp(sn->name, p->name) == 0)
            rv = error_set(err, ERROR_CONFLICT,
                           shared ? "There is a template '%s'" : "The account has a snapshot '%s'",
                           p->name);
    }
    if (rv == 0 && !p->passing && count >= limit)
        return error_set(err, ERROR_QUOTA_EXCEEDED,
                         shared ? "There are %u templates of snapshots, the limit"
                                : "The account has %u snapshots, its limit",
                         count);
    return rv;
}

static int snapshot_copy(char **to, const char *from)
{
    *to = strdup(from != NULL ? from : "");
    return *to != NULL ? 0 : -ENOMEM;
}

static int snapshot_describe(struct snapshot *sn, const struct snapshot_params *p)
{
    id_new(sn->id);
    (void)snprintf(sn->sandbox_id, sizeof(sn->sandbox_id), "%s", p->sandbox_id);
    (void)snprintf(sn->template_id, sizeof(sn->template_id), "%s", p->template_id);
    sn->template_ms = p->template_ms;
    sn->created_ms = sn->updated_ms = time_now_ms();
    sn->kind = p->kind;
    sn->source = p->source;
    sn->vcpus = p->vcpus;
    sn->memory_mb = p->memory_mb;
    sn->disk_mb = p->disk_mb;
    sn->passing = p->passing;
    sn->memory = p->live ? instance_memory_new() : NULL;
    bool whole = (!p->live || sn->memory != NULL) && snapshot_copy(&sn->account, p->account) == 0 &&
                 (p->name == NULL || snapshot_copy(&sn->name, p->name) == 0) &&
                 snapshot_copy(&sn->template_name, p->template_name) == 0 &&
                 snapshot_copy(&sn->driver, p->driver) == 0 &&
                 snapshot_copy(&sn->description, p->description) == 0 &&
                 snapshot_copy(&sn->provider, p->provider) == 0 &&
                 snapshot_copy(&sn->region, p->region) == 0;
    return whole ? 0 : -ENOMEM;
}

static struct snapshot *snapshot_make(struct snapshots *s, const struct snapshot_params *p,
                                      struct error *err)
{
    struct snapshot *sn = snapshot_alloc(s);
    if (sn == NULL || snapshot_describe(sn, p) < 0 || snapshot_place(sn, ".new") < 0) {
        if (sn != NULL)
            snapshot_free(sn);
        error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    snapshots_insert(s, sn);
    return sn;
}

struct snapshot *snapshot_begin(struct snapshots *s, const struct snapshot_params *p,
                                struct error *err)
{
    return snapshot_check(s, p, false, err) == 0 ? snapshot_make(s, p, err) : NULL;
}

struct snapshot *
snapshot_share(const struct snapshot *sn, const char *name, const char *description,
               void (*kept)(void *ctx, struct snapshot *sn, const struct error *err), void *ctx,
               struct error *err)
{
    struct snapshots *s = sn->set;
    const struct snapshot_params p = {.account = sn->account,
                                      .name = name,
                                      .description = description,
                                      .source = sn->source,
                                      .provider = sn->provider,
                                      .region = sn->region,
                                      .sandbox_id = sn->sandbox_id,
                                      .template_id = sn->template_id,
                                      .template_name = sn->template_name,
                                      .template_ms = sn->template_ms,
                                      .driver = sn->driver,
                                      .kind = sn->kind,
                                      .vcpus = sn->vcpus,
                                      .memory_mb = sn->memory_mb,
                                      .disk_mb = sn->disk_mb};
    struct snapshot *made = snapshot_check(s, &p, true, err) == 0 ? snapshot_make(s, &p, err)
                                                                  : NULL;
    if (made == NULL)
        return NULL;
    made->shared = true;
    memcpy(made->origin_id, sn->id, sizeof(made->origin_id));
    made->kept = kept;
    made->ctx = ctx;
    if (snapshot_copy(&made->link_dir, sn->dir) < 0) {
        error_set(err, ERROR_INTERNAL, "Out of memory");
        snapshot_drop(made);
        return NULL;
    }
    snapshot_queue(made, SNAPSHOT_TASK_LINK);
    return made;
}

void snapshot_keep(struct snapshot *sn,
                   void (*kept)(void *ctx, struct snapshot *sn, const struct error *err), void *ctx)
{
    sn->kept = kept;
    sn->ctx = ctx;
    snapshot_queue(sn, SNAPSHOT_TASK_KEEP);
}

/* It could not be kept. */
static void snapshot_failed(struct snapshot *sn, int status)
{
    struct error err;
    void (*kept)(void *ctx, struct snapshot *sn, const struct error *err) = sn->kept;
    void *ctx = sn->ctx;
    error_set_errno(&err, status == -ENOSPC ? ERROR_NO_SPACE : ERROR_STORAGE_FAILED, status,
                    "The snapshot cannot be kept");
    snapshot_drop(sn);
    kept(ctx, NULL, &err);
}

static int snapshot_put(const struct snapshot *sn)
{
    cleanup_buf struct buf record = {0};
    snapshot_encode(&record, sn);
    return record.failed ? -ENOMEM
                         : store_put(sn->set->store, STORE_SNAPSHOTS, sn->id, ID_SIZE - 1,
                                     record.data, record.len);
}

static void snapshot_record(struct snapshot *sn)
{
    int rv = snapshot_put(sn);
    if (rv < 0)
        snapshot_failed(sn, rv);
    else
        store_flush(sn->set->store, &sn->wait, snapshot_on_record);
}

static void snapshot_on_record(struct store_wait *w, int status)
{
    struct snapshot *sn = container_of(w, struct snapshot, wait);
    if (status < 0) {
        snapshot_failed(sn, status);
        return;
    }
    sn->state = SNAPSHOT_KEPT;
    log_info("snapshot made", "snapshot=%s sandbox=%s kind=%s bytes=%llu", sn->id, sn->sandbox_id,
             snapshot_kind_str(sn->kind), (unsigned long long)sn->bytes);
    sn->kept(sn->ctx, sn, NULL);
}

/* --- what is said of it --- */

int snapshot_set_active(struct snapshot *sn, bool active)
{
    bool was = sn->inactive;
    int64_t was_ms = sn->updated_ms;
    sn->inactive = !active;
    sn->updated_ms = time_now_ms();
    int rv = snapshot_put(sn);
    if (rv < 0) {
        sn->inactive = was;
        sn->updated_ms = was_ms;
    }
    return rv;
}

int snapshot_used(struct snapshot *sn)
{
    int64_t was_ms = sn->used_ms;
    if (sn->state != SNAPSHOT_KEPT)
        return 0;
    sn->used_ms = time_now_ms();
    int rv = snapshot_put(sn);
    if (rv < 0)
        sn->used_ms = was_ms;
    return rv;
}

/* --- and goes --- */

void snapshot_drop(struct snapshot *sn)
{
    sn->state = SNAPSHOT_GOING;
    instance_memory_put(&sn->memory);
    store_unwait(&sn->wait);
    if (sn->task != SNAPSHOT_TASK_NONE && sn->set->working == sn)
        return; /* snapshot_worked goes on */
    list_del(&sn->queued);
    sn->task = SNAPSHOT_TASK_NONE;
    /* The record goes first: one without a directory would be offered to clients. */
    if (!sn->passing)
        (void)store_del(sn->set->store, STORE_SNAPSHOTS, sn->id, ID_SIZE - 1);
    store_flush(sn->set->store, &sn->wait, snapshot_on_forgotten);
}

/* When the record cannot be deleted now the store tries again; the directory may go all the same:
 * the next server drops a record without one. */
static void snapshot_on_forgotten(struct store_wait *w, int status)
{
    struct snapshot *sn = container_of(w, struct snapshot, wait);
    (void)status;
    snapshot_queue(sn, SNAPSHOT_TASK_REMOVE);
}

void snapshot_worked(struct snapshot *sn, enum snapshot_task task)
{
    if (task == SNAPSHOT_TASK_REMOVE) {
        if (sn->status < 0) /* the next server tries again */
            log_warn("snapshot not fully removed", "snapshot=%s errno=%d", sn->id, -sn->status);
        list_del(&sn->node);
        snapshot_free(sn);
    } else if (sn->state == SNAPSHOT_GOING) {
        snapshot_drop(sn);
    } else if (sn->status < 0) {
        snapshot_failed(sn, sn->status);
    } else {
        snapshot_record(sn);
    }
}
