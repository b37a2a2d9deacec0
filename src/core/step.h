/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.h - the moments at which a test kills the server, or what the server waits for.
 *
 * In builds for tests, those with a sanitizer or with the option `steps`, CORRAL_STEP_FILE names a
 * file. While it exists, the server ends itself with SIGKILL at the step that the file names, as
 * ROOM/NAME; at `stop ROOM/NAME` it stands still until SIGCONT; where the file says `list`, each
 * step is logged. In every other build a step is nothing.
 *
 * A step stands where the order of what is durable is decided: a change of phase, a commit, a
 * helper, an operation of an agent.
 */
#ifndef CORRAL_CORE_STEP_H
#define CORRAL_CORE_STEP_H

#ifdef CORRAL_STEPS
void step_reach(const char *room, const char *name);
#else
static inline void step_reach(const char *room, const char *name)
{
    (void)room;
    (void)name;
}
#endif

#endif
