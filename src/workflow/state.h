/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the states of a run and of its steps, and the moves that are allowed.
 *
 *   run    PENDING ─▶ RUNNING ─▶ COMPLETED | FAILED | CANCELLED
 *
 *   step   PENDING ─▶ RUNNING ─▶ COMPLETED | FAILED | CANCELLED
 *             │        ▲   └──▶ RETRYING ─▶ CANCELLED
 *             │        └───────────┘
 *             └──▶ SKIPPED | CANCELLED
 */
#ifndef CORRAL_WORKFLOW_STATE_H
#define CORRAL_WORKFLOW_STATE_H

#include <stdbool.h>

/* Stored in records: only append. */
enum wf_run_status {
    WF_RUN_PENDING,
    WF_RUN_RUNNING,
    WF_RUN_COMPLETED,
    WF_RUN_FAILED,
    WF_RUN_CANCELLED,
    WF_RUN_STATUS_COUNT
};

enum wf_step_status {
    WF_STEP_PENDING,   /* waits for the steps it depends on, or for a place */
    WF_STEP_RUNNING,   /* an attempt was counted; it may have begun */
    WF_STEP_RETRYING,  /* waits for the next attempt */
    WF_STEP_COMPLETED, /* this and what follows: it never runs again */
    WF_STEP_FAILED,
    WF_STEP_SKIPPED,
    WF_STEP_CANCELLED,
    WF_STEP_STATUS_COUNT
};

const char *wf_run_status_str(enum wf_run_status s);
const char *wf_step_status_str(enum wf_step_status s);
bool wf_run_may_move(enum wf_run_status from, enum wf_run_status to);
bool wf_step_may_move(enum wf_step_status from, enum wf_step_status to);

static inline bool wf_run_is_over(enum wf_run_status s)
{
    return s >= WF_RUN_COMPLETED;
}

static inline bool wf_step_is_over(enum wf_step_status s)
{
    return s >= WF_STEP_COMPLETED;
}

#endif
