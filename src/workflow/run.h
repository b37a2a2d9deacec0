/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - one run of a workflow, with its steps, its sandboxes and its record.
 *
 * Every move is written before it is acted on: a turn (wf_run_tick) makes all moves that are due,
 * writes the run's record, and starts what the moves ask for when the record is on disk. So when a
 * server is killed, the record tells the next one at least what had begun:
 *
 * - a step in RUNNING may have begun. The agent of its sandbox has kept it under the key of the
 *   attempt: the new server attaches to it and hears everything from its beginning. It begins an
 *   attempt that the agent does not know. When the sandbox of the attempt has ended, the step is
 *   tried again while it has retries left, and fails otherwise.
 * - a step that is over never runs again. The agent may forget it only when its end is written.
 * - the sandboxes of a run are adopted with all others, and the run keeps using them. When one has
 *   ended after a step completed in it, the steps that still need it fail: an empty sandbox is no
 *   replacement.
 *
 * The output of a step has a record of its own (table STEPS), which is written with the move that
 * ends the step. It is in memory while the run is under way.
 */
#ifndef CORRAL_WORKFLOW_RUN_H
#define CORRAL_WORKFLOW_RUN_H

#include <uv.h>

#include "sandbox/table.h"
#include "workflow/def.h"
#include "workflow/state.h"

#define WF_RUN_ID_SIZE 24     /* "run-" and 12 characters, with its NUL */
#define WF_MAX_SLOTS   8      /* sandboxes of one run */
#define WF_MAX_OUTPUT  65536  /* bytes kept of each output of a step */
#define WF_READY_MS    120000 /* for a sandbox to be ready */

/* What a step left behind. */
struct wf_output {
    struct buf out, err, result;
    bool has_result;
    bool loaded; /* the output is in memory */
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
    struct wf_exec *exec; /* not NULL: it runs now */
    bool attach;          /* it was RUNNING under the server before this one, and may have begun */
    unsigned int forget;  /* an attempt that has ended and that its agent still keeps; 0: none */
    struct wf_run *run;
};

/* A sandbox of the run: its steps that name the same template share one. */
struct wf_slot {
    char template[129];    /* "": the default one */
    char sandbox[ID_SIZE]; /* "": not created yet */
    bool used;             /* a step has completed in it */
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
    struct wf_slot slots[WF_MAX_SLOTS];
    unsigned int n_slots;

    /* While it is under way. */
    struct wf_def def;
    bool active;
    bool dirty;       /* moves were made that no flush covers */
    bool saving;      /* a flush is under way */
    bool unsaved;     /* it was failed before it was activated: no flush was waited for */
    uv_timer_t timer; /* the next retry; a failed flush */
    struct store_wait wait;
};

/* A run in PENDING, or an empty one for wf_run_decode. NULL: out of memory. */
struct wf_run *wf_run_new(struct wf_engine *e, struct workflow *wf, unsigned int n_steps);
/* Not while it is active. */
void wf_run_free(struct wf_run *run);

/* Begins or resumes it; takes over `def`. */
void wf_run_activate(struct wf_run *run, struct wf_def *def);
/* After a restart, before wf_run_activate: steps that were RUNNING will be attached to. */
void wf_run_interrupted(struct wf_run *run);
void wf_run_cancel(struct wf_run *run);
/* Stops it without a move, as a kill of the server would; for the end of the server. */
void wf_run_stop(struct wf_run *run);
void wf_run_tick(struct wf_run *run);

/* Fails the run before it is activated; puts the record. */
void wf_run_fail(struct wf_run *run, const char *reason);
/* Ends the run's sandboxes that have not ended. */
void wf_run_release(struct wf_run *run);

/* record.c: the record of a run, and of a step's output. */
int wf_run_put(struct wf_run *run);
int wf_run_del(struct wf_run *run);
int wf_run_decode(struct wf_run *run, const void *val, size_t len);
int wf_output_put(struct wf_run *run, unsigned int step);
/* Reads it from the store unless it is in memory. */
int wf_output_load(struct wf_run *run, unsigned int step);
void wf_output_done(struct wf_output *o);

/* The run as it is on disk, for readers: memory is ahead of it while a flush is under way, and what
 * a killed server had not written never was. The run itself, a copy, or NULL: nothing of it is on
 * disk, or it cannot be read. */
struct wf_run *wf_run_view(struct wf_run *run);
void wf_run_view_done(struct wf_run *run, struct wf_run *view);

/* step.c: the environment variables of a step, expanded; one allocation. NULL: out of memory, or
 * ERROR_INVALID_ARGUMENT when they come to more than SANDBOX_MAX_ENV bytes. */
char **wf_step_env(struct wf_run *run, unsigned int step, struct error *err);
/* Starts the attempt that was counted. When it has to create a sandbox, it sets run->dirty instead
 * and must be called again once that is written. On failure it moves the step. */
void wf_step_start(struct wf_run *run, unsigned int step);
/* The end of the attempt is on disk: its agent may forget it. */
void wf_step_forget(struct wf_run *run, unsigned int step);
/* The attempt has failed: moves to RETRYING or FAILED. `final`: no retry, whatever the definition
 * says. */
void wf_step_failed(struct wf_run *run, unsigned int step, const struct wf_step_def *def,
                    const char *reason, bool final);
void wf_step_move(struct wf_run *run, unsigned int step, enum wf_step_status to);

#endif
