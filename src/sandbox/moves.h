/* SPDX-License-Identifier: Apache-2.0 */
/* moves.h - what the files that move a sandbox from phase to phase share (sandbox.c, alive.c,
 * pause.c, expiry.c). */
#ifndef CORRAL_SANDBOX_MOVES_H
#define CORRAL_SANDBOX_MOVES_H

#include "sandbox/sandbox.h"

/* --- sandbox.c --- */

/* An instance for it, which is not started; `t` is NULL when it needs no template. NULL: out of
 * memory. */
struct instance *sandbox_instance(struct sandbox *sb, const struct template *t);

void sandbox_move(struct sandbox *sb, enum sandbox_phase next);
/* Asks the agent whether it is there; the phase HANDSHAKE. */
void sandbox_handshake(struct sandbox *sb);
/* In RUNNING: one more question whether the agent lives; sandbox_questioned follows. */
void sandbox_ask_alive(struct sandbox *sb);
/* The phase RUNNING. */
void sandbox_runs(struct sandbox *sb);
/* Calls the waits of a list, each off it; `err` is NULL on success. */
void sandbox_tell(struct sandbox *sb, struct list *waits, const struct error *err);
/* In STOPPING: ENDED when nothing is under way any more. */
void sandbox_maybe_ended(struct sandbox *sb);

/* --- alive.c --- */

/* While it runs, a question of sandbox_ask_alive or a warm-up is over. */
void sandbox_questioned(struct sandbox *sb, bool failed);

/* --- pause.c --- */

/* The agent of one that resumes has answered. */
void sandbox_resumed(struct sandbox *sb);
/* The instance of a paused record is adopted, or what was left of it beside its files is gone. */
void sandbox_stays_paused(struct sandbox *sb);
/* While it resumes, something of it has failed or ended. True: it stays paused, or will be. */
bool sandbox_back_to_paused(struct sandbox *sb, const struct error *err);
/* Its instance has ended by itself, and no harm is done: it is on the disk. */
bool sandbox_outlives_instance(const struct sandbox *sb);
/* The instance that was put away is gone. */
void sandbox_is_put_away(struct sandbox *sb);
/* In PAUSING: PAUSED when nothing is under way any more. */
void sandbox_maybe_paused(struct sandbox *sb);
/* A snapshot of it is made, or not: it resumes if somebody has asked for that meanwhile. */
void sandbox_captured(struct sandbox *sb);
/* Its end has begun: nothing of a pause or of a resumption comes back. */
void sandbox_forget_pause(struct sandbox *sb);

/* --- expiry.c --- */

/* Its time ends `seconds` from `now_ms`, which is the wall clock; SANDBOX_NO_TIMEOUT: never. */
void sandbox_place_timeout(struct sandbox *sb, int64_t now_ms, int64_t seconds);
/* Closes the timer; sandbox_maybe_ended follows. */
void sandbox_stop_expiry(struct sandbox *sb);

/* expiry.c: how long nobody has used it. A call that is open is use, and so are bytes of its own
 * connections. */
uint64_t sandbox_idle_ms(struct sandbox *sb);
/* expiry.c: pauses one in RUNNING that no client has asked to pause; false when it may not be, and
 * when it could not be often enough. */
bool sandbox_put_away(struct sandbox *sb, const char *why);

#endif
