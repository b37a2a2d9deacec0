/* SPDX-License-Identifier: Apache-2.0 */
/* oom.c - see oom.h. */
#include "sandbox/oom.h"

#include <signal.h>

void sandbox_oom_mark(struct sandbox_oom *o, const struct sandbox *sb)
{
    o->known = sb->instance != NULL && instance_oom_kills(sb->instance, &o->kills) == 0;
}

void sandbox_oom_judge(const struct sandbox_oom *o, const struct sandbox *sb, struct wire_exit *how)
{
    uint64_t now = 0;
    bool killed = how->signal == SIGKILL || how->code == 128 + SIGKILL;
    if (killed && how->cause == WIRE_CAUSE_ITSELF && o->known && sb->instance != NULL &&
        instance_oom_kills(sb->instance, &now) == 0 && now > o->kills)
        how->cause = WIRE_CAUSE_MEMORY;
}
