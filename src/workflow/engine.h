/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - every workflow of the server with its runs.
 *
 * Definitions stay in the store (table WORKFLOWS) and are read when a run begins; the states of
 * runs are in memory. Changes are put into the store, and the caller flushes before it answers.
 */
#ifndef CORRAL_WORKFLOW_ENGINE_H
#define CORRAL_WORKFLOW_ENGINE_H

#include "workflow/run.h"

#define WF_ID_SIZE       24    /* "workflow-" and 12 characters, with its NUL */
#define WF_MAX_WORKFLOWS 10000 /* of one server */
#define WF_MAX_ACTIVE    100   /* runs under way at once */
#define WF_MAX_RUNS      100 /* kept of one workflow; the oldest that are over are dropped first */

struct workflow {
    struct list node; /* in the engine, newest first */
    char id[WF_ID_SIZE];
    char *account; /* owned, as is the name */
    char *name;
    int64_t created_ms;
    unsigned int n_steps;
    struct list runs; /* struct wf_run, newest first */
    unsigned int n_runs, n_active;
};

struct wf_engine {
    uv_loop_t *loop;
    struct store *store;
    struct template_set *templates;
    struct sandbox_table *sandboxes;
    const char *template_default;
    unsigned int timeout_max_s;
    struct list workflows;
    unsigned int n_workflows, n_active;
    bool stopping;
};

/* Reads the records and resumes the runs that were under way; after sandbox_table_recover. */
int wf_engine_load(struct wf_engine *e, struct error *err);
/* Stops every run where it is: the next server resumes it. */
void wf_engine_stop(struct wf_engine *e);

/* Takes over `def`; `text` is its JSON. NULL with `err` filled. */
struct workflow *wf_create(struct wf_engine *e, const char *account, struct wf_def *def,
                           const struct buf *text, struct error *err);
struct workflow *wf_find(struct wf_engine *e, const char *id);
/* ERROR_CONFLICT while a run is under way. */
int wf_delete(struct wf_engine *e, struct workflow *wf, struct error *err);
/* Appends the JSON of the definition. */
int wf_definition(struct wf_engine *e, const struct workflow *wf, struct buf *ret);
/* Reads and parses it; release with wf_def_done. */
int wf_load(struct wf_engine *e, const struct workflow *wf, struct wf_def *ret);
/* A new run. ERROR_CONFLICT while another is under way, unless `parallel`. */
struct wf_run *wf_start(struct wf_engine *e, struct workflow *wf, bool parallel, struct error *err);
/* By id; NULL: the latest. */
struct wf_run *wf_find_run(struct workflow *wf, const char *id);
/* Calls `visit` for the account's workflows after the first `offset`, newest first; returns how
 * many there are. */
unsigned int wf_list(struct wf_engine *e, const char *account, unsigned int offset,
                     unsigned int limit, void (*visit)(void *ctx, struct workflow *wf), void *ctx);

/* A run of the workflow is over. */
void wf_run_over(struct wf_run *run);

#endif
