/* SPDX-License-Identifier: Apache-2.0 */
/* alive.c - whether the agent of a running sandbox still answers. Nobody asks an idle one: a client
 * that got no answer leads to the first question, and a client that has long heard nothing. An
 * agent that owes too many answers ends its sandbox. */
#include <errno.h>

#include "sandbox/moves.h"

void sandbox_check(struct sandbox *sb)
{
    if (sb->phase == SANDBOX_RUNNING && sb->unanswered == 0 && !sb->op_active &&
        sb->capture == NULL)
        sandbox_ask_alive(sb);
}

void sandbox_suspect(struct sandbox *sb)
{
    /* While a snapshot is made of it, it stands still. */
    if (sb->phase != SANDBOX_RUNNING || sb->unanswered > 0 || sb->capture != NULL)
        return;
    if (!sb->op_active) {
        sandbox_ask_alive(sb);
    } else { /* a warm-up, which may wait for minutes: the question follows when it has closed */
        sb->op_status = -EIO;
        agent_call_close(&sb->op);
    }
}

void sandbox_questioned(struct sandbox *sb, bool failed)
{
    if (!failed || sb->capture != NULL)
        sb->unanswered = 0;
    else if (sb->unanswered < SANDBOX_UNANSWERED)
        sandbox_ask_alive(sb);
    else
        sandbox_end(sb, SANDBOX_STATUS_FAILED, "The sandbox's agent does not answer", NULL);
}

const char *sandbox_trouble(const struct sandbox *sb)
{
    if (sb->phase != SANDBOX_RUNNING)
        return sb->reason != NULL ? sb->reason : "";
    if (sb->unanswered > 1) /* the first question may still be answered */
        return "The sandbox's agent does not answer";
    return sb->bridge_silent ? "The sandbox's code bridge does not answer" : "";
}
