/* SPDX-License-Identifier: Apache-2.0 */
#include "t.h"
#include "workflow/state.h"

static void what_is_over_stays_over(void)
{
    for (int from = 0; from < WF_STEP_STATUS_COUNT; from++) {
        for (int to = 0; to < WF_STEP_STATUS_COUNT; to++) {
            if (wf_step_is_over((enum wf_step_status)from))
                T_TRUE(!wf_step_may_move((enum wf_step_status)from, (enum wf_step_status)to));
        }
    }
    for (int from = 0; from < WF_RUN_STATUS_COUNT; from++) {
        for (int to = 0; to < WF_RUN_STATUS_COUNT; to++) {
            if (wf_run_is_over((enum wf_run_status)from))
                T_TRUE(!wf_run_may_move((enum wf_run_status)from, (enum wf_run_status)to));
        }
    }
}

static void every_state_has_a_way_out_and_a_name(void)
{
    for (int s = 0; s < WF_STEP_STATUS_COUNT; s++) {
        T_TRUE(wf_step_status_str((enum wf_step_status)s)[0] != '\0');
        if (!wf_step_is_over((enum wf_step_status)s))
            T_TRUE(wf_step_may_move((enum wf_step_status)s, WF_STEP_CANCELLED));
    }
    for (int s = 0; s < WF_RUN_STATUS_COUNT; s++) {
        T_TRUE(wf_run_status_str((enum wf_run_status)s)[0] != '\0');
        if (!wf_run_is_over((enum wf_run_status)s))
            T_TRUE(wf_run_may_move((enum wf_run_status)s, WF_RUN_CANCELLED));
    }
}

T_MAIN(T_CASE(what_is_over_stays_over), T_CASE(every_state_has_a_way_out_and_a_name))
