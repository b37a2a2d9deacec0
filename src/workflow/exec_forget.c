/* SPDX-License-Identifier: Apache-2.0 */
/* exec_forget.c - tells the agent that a kept run is not needed any more. An agent that does not
 * hear it drops the record when it needs the room. */
#include "workflow/exec_internal.h"

static void on_frame(struct agent_call *agent, const struct wire_frame *frame)
{
    agent_call_close(agent);
}

static void on_failed(struct agent_call *agent, const struct error *err)
{
    agent_call_close(agent);
}

static void on_closed(struct agent_call *agent)
{
    free(agent);
}

static const struct agent_call_handler forget_handler = {
    .frame = on_frame,
    .failed = on_failed,
    .closed = on_closed,
};

void wf_exec_forget(struct sandbox *sb, const char *key)
{
    struct buf request = {0};
    if (!sandbox_is_live(sb))
        return;
    struct agent_call *agent = malloc(sizeof(*agent));
    if (agent == NULL)
        return;
    wf_exec_put(&request, WIRE_FORGET, key);
    if (agent_call_start(agent, &sb->target, &forget_handler, &request, WF_EXEC_ANSWER_MS) < 0)
        free(agent);
}
