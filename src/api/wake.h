/* SPDX-License-Identifier: Apache-2.0 */
/* wake.h - a request to a sandbox that is paused. */
#ifndef CORRAL_API_WAKE_H
#define CORRAL_API_WAKE_H

#include "api/api.h"
#include "sandbox/pause.h"

/* Resumes the sandbox and calls `then` when it runs; the call's state is what it was. A failure is
 * answered instead. A streamed body waits. */
void api_wake(struct api_call *call, struct sandbox *sb, void (*then)(struct api_call *call));

/* Pauses or resumes the call's sandbox and calls `then` when that is on disk. `seconds`: see
 * sandbox_resume. */
void api_sandbox_put_away(struct api_call *call, void (*then)(struct api_call *call));
void api_sandbox_bring_back(struct api_call *call, unsigned int seconds,
                            void (*then)(struct api_call *call));
/* The same for sandbox_rollback. */
void api_sandbox_roll_back(struct api_call *call, const char *dir,
                           void (*then)(struct api_call *call));

/* What a create says of a sandbox's life, and what it does not say as the server has it. 0 or a
 * negative errno with `err`. */
int api_life_parse(struct api_call *call, struct sandbox_life *ret, struct error *err);
/* ERROR_UNSUPPORTED when such a life asks for a pause that the driver cannot do. */
int api_life_check(struct api_call *call, const struct sandbox_life *life, struct error *err);

#endif
