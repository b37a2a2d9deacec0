/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c - see engine.h.
 *
 * A run has the key "<workflow id> NUL <run id>", so a run whose workflow is gone is found, and
 * dropped, while the records are read. Both lists are sorted by age on insertion, since the store
 * gives records in the order of their keys.
 */
#include "workflow/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "store/record.h"

#define WORKFLOW_RECORD 1
#define WF_ID_CHARS     12

static void workflow_free(struct workflow *wf)
{
    free(wf->account);
    free(wf->name);
    free(wf);
}

static struct workflow *workflow_new(void)
{
    struct workflow *wf = calloc(1, sizeof(*wf));
    if (wf == NULL)
        return NULL;
    list_init(&wf->node);
    list_init(&wf->runs);
    return wf;
}

/* Fills what is kept in memory; *ret_text is a view of the definition in `val`. */
static int workflow_decode(struct workflow *wf, const void *key, size_t keylen, const void *val,
                           size_t len, struct span *ret_text)
{
    struct cursor c;
    if (keylen == 0 || keylen >= sizeof(wf->id) || record_open(&c, val, len, WORKFLOW_RECORD) < 0)
        return -EPROTO;
    memcpy(wf->id, key, keylen);
    wf->account = record_get_str(&c);
    wf->name = record_get_str(&c);
    wf->created_ms = record_get_i64(&c);
    wf->n_steps = cursor_u32(&c);
    *ret_text = wire_get_span(&c);
    if (record_end(&c) < 0 || wf->account == NULL || wf->name == NULL || wf->n_steps == 0 ||
        wf->n_steps > WF_MAX_STEPS)
        return -EPROTO;
    return 0;
}

static int workflow_put(struct wf_engine *e, const struct workflow *wf, const struct buf *text)
{
    cleanup_buf struct buf b = {0};
    record_begin(&b, WORKFLOW_RECORD);
    record_str(&b, wf->account);
    record_str(&b, wf->name);
    record_i64(&b, wf->created_ms);
    (void)buf_u32(&b, wf->n_steps);
    wire_put_span(&b, text->data, text->len);
    if (b.failed)
        return -ENOMEM;
    return store_put(e->store, STORE_WORKFLOWS, wf->id, strlen(wf->id), b.data, b.len);
}

static void engine_insert(struct wf_engine *e, struct workflow *wf)
{
    struct list *pos = e->workflows.next;
    while (pos != &e->workflows &&
           list_entry(pos, struct workflow, node)->created_ms > wf->created_ms)
        pos = pos->next;
    list_add_tail(pos, &wf->node);
    e->n_workflows++;
}

static int load_workflow(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen)
{
    struct span text;
    struct workflow *wf = workflow_new();
    if (wf == NULL)
        return -ENOMEM;
    if (workflow_decode(wf, key, keylen, val, vallen, &text) < 0) {
        log_error("workflow record skipped", "key=%.*s", (int)MIN(keylen, 24u), (const char *)key);
        workflow_free(wf);
        return 0;
    }
    engine_insert(ctx, wf);
    return 0;
}

static void workflow_add_run(struct workflow *wf, struct wf_run *run)
{
    struct list *pos = wf->runs.next;
    while (pos != &wf->runs && list_entry(pos, struct wf_run, node)->created_ms > run->created_ms)
        pos = pos->next;
    list_add_tail(pos, &run->node);
    wf->n_runs++;
}

static int load_run(void *ctx, const void *key, size_t keylen, const void *val, size_t vallen)
{
    struct wf_engine *e = ctx;
    const char *text = key;
    const char *end = memchr(text, '\0', keylen);
    size_t id_len = end != NULL ? keylen - (size_t)(end + 1 - text) : 0;
    struct workflow *wf = end != NULL ? wf_find(e, text) : NULL;
    if (wf == NULL || id_len == 0 || id_len >= WF_RUN_ID_SIZE)
        return store_del(e->store, STORE_RUNS, key, keylen);
    struct wf_run *run = wf_run_new(e, wf, wf->n_steps);
    if (run == NULL)
        return -ENOMEM;
    memcpy(run->id, end + 1, id_len);
    if (wf_run_decode(run, val, vallen) < 0) {
        log_error("run record skipped", "run=%s", run->id);
        wf_run_free(run);
        return 0;
    }
    workflow_add_run(wf, run);
    return 0;
}

int wf_definition(struct wf_engine *e, const struct workflow *wf, struct buf *ret)
{
    cleanup_buf struct buf b = {0};
    struct workflow scratch = {0};
    struct span text;
    int rv = store_get(e->store, STORE_WORKFLOWS, wf->id, strlen(wf->id), &b);
    if (rv == 0)
        rv = workflow_decode(&scratch, wf->id, strlen(wf->id), b.data, b.len, &text);
    if (rv == 0)
        rv = buf_append(ret, text.data, text.len);
    free(scratch.account);
    free(scratch.name);
    return rv;
}

int wf_load(struct wf_engine *e, const struct workflow *wf, struct wf_def *ret)
{
    cleanup_buf struct buf text = {0};
    struct wf_faults faults = {0};
    int rv = wf_definition(e, wf, &text);
    json *root = rv == 0 ? json_parse_object(text.data, text.len, NULL) : NULL;
    if (root == NULL)
        return rv < 0 ? rv : -EPROTO;
    rv = wf_def_parse(ret, root, &faults);
    wf_faults_done(&faults);
    if (rv < 0)
        wf_def_done(ret);
    else if (ret->n_steps != wf->n_steps)
        rv = -EPROTO;
    return rv;
}

static void engine_resume(struct wf_engine *e, struct wf_run *run)
{
    struct wf_def def = {0};
    int rv = wf_load(e, run->workflow, &def);
    for (unsigned int i = 0; rv == 0 && i < run->n_steps; i++)
        rv = wf_output_load(run, i);
    if (rv < 0) {
        wf_run_fail(run, "The run could not be read after a restart");
        wf_run_release(run);
        wf_def_done(&def);
        return;
    }
    log_info("workflow run resumed", "workflow=%s run=%s", run->workflow->id, run->id);
    wf_run_interrupted(run);
    wf_run_activate(run, &def);
}

int wf_engine_load(struct wf_engine *e, struct error *err)
{
    list_init(&e->workflows);
    int rv = store_each(e->store, STORE_WORKFLOWS, load_workflow, e);
    if (rv == 0)
        rv = store_each(e->store, STORE_RUNS, load_run, e);
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot read the workflows");
    list_for_each (it, &e->workflows) {
        struct workflow *wf = list_entry(it, struct workflow, node);
        list_for_each (r, &wf->runs) {
            struct wf_run *run = list_entry(r, struct wf_run, node);
            if (wf_run_is_over(run->status))
                wf_run_release(run); /* the server was killed between the two ends */
            else
                engine_resume(e, run);
        }
    }
    return 0;
}

void wf_engine_stop(struct wf_engine *e)
{
    e->stopping = true;
    list_for_each (it, &e->workflows) {
        struct workflow *wf = list_entry(it, struct workflow, node);
        list_for_each (r, &wf->runs) {
            struct wf_run *run = list_entry(r, struct wf_run, node);
            if (run->active)
                wf_run_stop(run);
        }
    }
}

struct workflow *wf_create(struct wf_engine *e, const char *account, struct wf_def *def,
                           const struct buf *text, struct error *err)
{
    if (e->n_workflows >= WF_MAX_WORKFLOWS) {
        (void)error_set(err, ERROR_QUOTA_EXCEEDED, "There are %d workflows already",
                        WF_MAX_WORKFLOWS);
        return NULL;
    }
    struct workflow *wf = workflow_new();
    if (wf == NULL) {
        (void)error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    memcpy(wf->id, "workflow-", 9);
    id_token(wf->id + 9, WF_ID_CHARS);
    wf->account = strdup(account);
    wf->name = strdup(def->name);
    wf->created_ms = time_now_ms();
    wf->n_steps = def->n_steps;
    int rv = wf->account != NULL && wf->name != NULL ? workflow_put(e, wf, text) : -ENOMEM;
    if (rv < 0) {
        error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot store the workflow");
        workflow_free(wf);
        return NULL;
    }
    wf_def_done(def);
    engine_insert(e, wf);
    return wf;
}

struct workflow *wf_find(struct wf_engine *e, const char *id)
{
    list_for_each (it, &e->workflows) {
        struct workflow *wf = list_entry(it, struct workflow, node);
        if (strcmp(wf->id, id) == 0)
            return wf;
    }
    return NULL;
}

static void drop_run(struct wf_run *run)
{
    (void)wf_run_del(run); /* a record that stays is dropped at the next start */
    list_del(&run->node);
    run->workflow->n_runs--;
    wf_run_free(run);
}

int wf_delete(struct wf_engine *e, struct workflow *wf, struct error *err)
{
    if (wf->n_active > 0)
        return error_set(err, ERROR_CONFLICT,
                         "A run of the workflow is under way, cancel it first");
    int rv = store_del(e->store, STORE_WORKFLOWS, wf->id, strlen(wf->id));
    if (rv < 0)
        return error_set_errno(err, ERROR_STORAGE_FAILED, rv, "Cannot delete the workflow");
    list_for_each_safe (it, &wf->runs)
        drop_run(list_entry(it, struct wf_run, node));
    list_del(&wf->node);
    e->n_workflows--;
    workflow_free(wf);
    return 0;
}

/* The oldest runs that are over make room. */
static void workflow_prune(struct workflow *wf)
{
    struct list *it = wf->runs.prev;
    while (wf->n_runs > WF_MAX_RUNS && it != &wf->runs) {
        struct wf_run *run = list_entry(it, struct wf_run, node);
        it = it->prev;
        if (wf_run_is_over(run->status) && !run->active)
            drop_run(run);
    }
}

struct wf_run *wf_start(struct wf_engine *e, struct workflow *wf, bool parallel, struct error *err)
{
    struct wf_def def = {0};
    if (e->stopping) {
        (void)error_set(err, ERROR_UNAVAILABLE, "The server is stopping");
        return NULL;
    }
    if (wf->n_active > 0 && !parallel) {
        (void)error_set(err, ERROR_CONFLICT, "A run of the workflow is under way");
        return NULL;
    }
    if (e->n_active >= WF_MAX_ACTIVE) {
        (void)error_set(err, ERROR_QUOTA_EXCEEDED, "%d runs are under way, the server's limit",
                        WF_MAX_ACTIVE);
        return NULL;
    }
    int rv = wf_load(e, wf, &def);
    struct wf_run *run = rv == 0 ? wf_run_new(e, wf, wf->n_steps) : NULL;
    if (run == NULL) {
        error_set_errno(err, ERROR_INTERNAL, rv < 0 ? rv : -ENOMEM, "Cannot start the workflow");
        wf_def_done(&def);
        return NULL;
    }
    memcpy(run->id, "run-", 4);
    id_token(run->id + 4, WF_ID_CHARS);
    workflow_add_run(wf, run);
    workflow_prune(wf);
    log_info("workflow run started", "workflow=%s run=%s", wf->id, run->id);
    wf_run_activate(run, &def);
    return run;
}

struct wf_run *wf_find_run(struct workflow *wf, const char *id)
{
    list_for_each (it, &wf->runs) {
        struct wf_run *run = list_entry(it, struct wf_run, node);
        if (id == NULL || strcmp(run->id, id) == 0)
            return run;
    }
    return NULL;
}

unsigned int wf_list(struct wf_engine *e, const char *account, unsigned int offset,
                     unsigned int limit, void (*visit)(void *ctx, struct workflow *wf), void *ctx)
{
    unsigned int total = 0;
    list_for_each (it, &e->workflows) {
        struct workflow *wf = list_entry(it, struct workflow, node);
        if (strcmp(wf->account, account) != 0)
            continue;
        if (total >= offset && total - offset < limit)
            visit(ctx, wf);
        total++;
    }
    return total;
}

void wf_run_over(struct wf_run *run)
{
    run->workflow->n_active--;
    run->engine->n_active--;
    workflow_prune(run->workflow);
}
