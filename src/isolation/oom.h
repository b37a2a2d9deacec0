/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oom.h - whom the kernel kills when memory is short: the processes of users first, then microVMs,
 * then the agents of containers, and the server last. An agent raises the scores of what it starts.
 */
#ifndef CORRAL_ISOLATION_OOM_H
#define CORRAL_ISOLATION_OOM_H

#define OOM_SCORE_SERVER (-900)
#define OOM_SCORE_HELPER 0
#define OOM_SCORE_AGENT  100
#define OOM_SCORE_VM     300

/* Protects this process. Does nothing when it has no privilege for that. */
void oom_protect_server(void);

/* A child inherits its parent's score, and its program may be another's. Around a spawn: what is
 * started in between has `score`. Nothing happens in a process that is not protected. */
void oom_spawn_begin(int score);
void oom_spawn_end(void);

#endif
