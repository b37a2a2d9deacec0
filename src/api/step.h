/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.h - one question to the agent, with one reply, on behalf of a request. Several in a row are
 * one request's: each `then` asks the next.
 */
#ifndef CORRAL_API_STEP_H
#define CORRAL_API_STEP_H

#include "api/op.h"

/* Sends `request` (taken over) and calls `then` with the reply, or with NULL and the error. The
 * call may be answered in it, or asked another question. */
void api_step(struct api_call *call, struct buf *request, enum error_code not_found,
              void (*then)(struct api_call *call, const struct wire_frame *frame,
                           const struct error *err));
/* For `then`: answers with the error, or that the reply is malformed. */
void api_step_failed(struct api_call *call, const struct error *err);

#endif
