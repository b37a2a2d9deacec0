/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - one run of a workflow: its steps, its sandboxes, its record.
 *
 * Every move is written before it is acted on: a turn decides all moves that are due (wf_run_tick),
 * writes the run's record, and when that is on disk starts what the moves asked for. So a server
 * that is killed finds in the record at least what had begun:
 *
 * - a step in RUNNING may have begun. The agent of its sandbox has kept it under the key of the
 *   attempt: the new server attaches to it and hears everything from its beginning. An attempt that
 *   the agent has never heard of is begun now. When the sandbox has ended in which it ran, it is
 *   tried again when it has retries left, else it fails.
 * - a step that is over is never run again. Only when its end is written the agent may forget it.
 * - the sandboxes of a run are adopted with all others and go on being used. When one has ended in
 *   which a step had completed, the steps that still need it fail: an empty one is no replacement.
 *
 * Outputs of steps have records of their own (table STEPS), written with the move that ends the
 * step; they are in memory as long as the run is under way.
 */
#ifndef CORRAL_WORKFLOW_RUN_H
#define CORRAL_WORKFLOW_RUN_H

#include <uv.h>

#include "sandbox/table.h"
#include "workflow/def.h"
#include "workflow/state.h"

#define WF_RUN_ID_SIZE 24     /* "run-" and 12 characters, with its NUL */
#define WF_MAX_BOXES   8      /* sandboxes of one run */
#define WF_MAX_OUTPUT  65536  /* bytes kept of each output of a step */
#define WF_READY_MS    120000 /* for a sandbox to be ready */

/* What a step left behind. */
struct wf_output {
    struct buf out, err, result;
    bool has_result;
    bool loaded; /* it is in memory */
};

struct wf_step {
    enum wf_step_status status;
    unsigned int attempts;
    int64_t started_ms, ended_ms; /* of the last attempt, wall clock */
    int64_t due_ms;               /* RETRYING: of the next attempt, wall clock */
    int32_t exit_code;
    int64_t duration_ms;
    bool has_output; /* there is a record in STEPS */
    char *error;     /* owned; why it failed, NULL: it did not */
    struct wf_output output;
    struct wf_exec *exec; /* not NULL: it is being run */
    bool attach;          /* RUNNING since before this server: it may have begun */
    unsigned int forget;  /* this attempt has ended, which its agent still keeps; 0: none */
    struct wf_run *run;
};

struct wf_box {
    char template[129]; /* "": the default one */
    char sandbox[ID_SIZE];
    bool used; /* a step has completed in it */
};

struct wf_engine;
struct workflow;

struct wf_run {
    struct list node; /* in the workflow, newest first */
    struct wf_engine *engine;
    struct workflow *workflow;
    char id[WF_RUN_ID_SIZE];
    enum wf_run_status status;
    int64_t created_ms, started_ms, ended_ms;
    char *error; /* owned; why it failed */
    struct wf_step *steps;
    unsigned int n_steps;
    struct wf_box boxes[WF_MAX_BOXES];
    unsigned int n_boxes;

    /* While it is under way. */
    struct wf_def def;
    bool active;
    bool dirty;       /* moves were made that no flush covers */
    bool saving;      /* a flush is under way */
    uv_timer_t timer; /* the next retry; a failed flush */
    struct store_wait wait;
};

/* A run in PENDING, or an empty one for wf_run_decode. NULL: out of memory. */
struct wf_run *wf_run_new(struct wf_engine *e, struct workflow *wf, unsigned int n_steps);
/* Not while it is active. */
void wf_run_free(struct wf_run *run);

/* Begins or goes on; takes over `def`. */
void wf_run_activate(struct wf_run *run, struct wf_def *def);
/* After a restart: what was RUNNING is to be attached to. Before wf_run_activate. */
void wf_run_interrupted(struct wf_run *run);
void wf_run_cancel(struct wf_run *run);
/* Stops without a move, as if the server was killed; for its end. */
void wf_run_stop(struct wf_run *run);
void wf_run_tick(struct wf_run *run);

/* Fails the run before it is activated; puts the record. */
void wf_run_fail(struct wf_run *run, const char *reason);
/* Ends the run's sandboxes that still live. */
void wf_run_release(struct wf_run *run);

/* wf_record.c: the record of a run, and of a step's output. */
int wf_run_put(struct wf_run *run);
int wf_run_del(struct wf_run *run);
int wf_run_decode(struct wf_run *run, const void *val, size_t len);
int wf_output_put(struct wf_run *run, unsigned int step);
/* Reads it from the store unless it is in memory. */
int wf_output_load(struct wf_run *run, unsigned int step);
void wf_output_done(struct wf_output *o);

/* wf_step.c: the environment variables of a step, expanded; one allocation. NULL: out of memory. */
char **wf_step_env(struct wf_run *run, unsigned int step);
/* Starts the attempt that was counted. May create a sandbox, and then sets run->dirty: call again
 * once that is written. A failure has moved the step on. */
void wf_step_start(struct wf_run *run, unsigned int step);
/* The end of the attempt is on disk: its agent may forget it. */
void wf_step_forget(struct wf_run *run, unsigned int step);
/* The attempt has failed: RETRYING or FAILED. `final`: whatever the policy says. */
void wf_step_failed(struct wf_run *run, unsigned int step, const struct wf_step_def *def,
                    const char *reason, bool final);
void wf_step_move(struct wf_run *run, unsigned int step, enum wf_step_status to);

#endif
