/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - see state.h. The tables are the only place where moves are listed; a move that is not
 * in them is a bug of the server and ends it by an assertion. */
#include "workflow/state.h"

#define BIT(state) (1u << (state))

static const struct {
    const char *name;
    unsigned int next;
} run_states[WF_RUN_STATUS_COUNT] = {
    [WF_RUN_PENDING] = {"pending",
                        BIT(WF_RUN_RUNNING) | BIT(WF_RUN_FAILED) | BIT(WF_RUN_CANCELLED)},
    [WF_RUN_RUNNING] = {"running",
                        BIT(WF_RUN_COMPLETED) | BIT(WF_RUN_FAILED) | BIT(WF_RUN_CANCELLED)},
    [WF_RUN_COMPLETED] = {"completed", 0},
    [WF_RUN_FAILED] = {"failed", 0},
    [WF_RUN_CANCELLED] = {"cancelled", 0},
};

static const struct {
    const char *name;
    unsigned int next;
} step_states[WF_STEP_STATUS_COUNT] = {
    [WF_STEP_PENDING] = {"pending",
                         BIT(WF_STEP_RUNNING) | BIT(WF_STEP_SKIPPED) | BIT(WF_STEP_CANCELLED)},
    [WF_STEP_RUNNING] = {"running", BIT(WF_STEP_COMPLETED) | BIT(WF_STEP_FAILED) |
                                        BIT(WF_STEP_RETRYING) | BIT(WF_STEP_CANCELLED)},
    [WF_STEP_RETRYING] = {"retrying", BIT(WF_STEP_RUNNING) | BIT(WF_STEP_CANCELLED)},
    [WF_STEP_COMPLETED] = {"completed", 0},
    [WF_STEP_FAILED] = {"failed", 0},
    [WF_STEP_SKIPPED] = {"skipped", 0},
    [WF_STEP_CANCELLED] = {"cancelled", 0},
};

const char *wf_run_status_str(enum wf_run_status s)
{
    return run_states[s].name;
}

const char *wf_step_status_str(enum wf_step_status s)
{
    return step_states[s].name;
}

bool wf_run_may_move(enum wf_run_status from, enum wf_run_status to)
{
    return (run_states[from].next & BIT(to)) != 0;
}

bool wf_step_may_move(enum wf_step_status from, enum wf_step_status to)
{
    return (step_states[from].next & BIT(to)) != 0;
}
