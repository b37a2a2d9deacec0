/* SPDX-License-Identifier: Apache-2.0 */
/*
 * result.h - the data of a result under the names that clients of streams know: "text" for
 * text/plain, "png" for image/png, and so on.
 */
#ifndef CORRAL_STREAM_RESULT_H
#define CORRAL_STREAM_RESULT_H

#include "base/json.h"
#include "base/jsonw.h"
#include "wire/reply.h"

/* Writes the members of the object at hand, one for each type of data that has such a name. The
 * bundle comes from the sandbox: what is no JSON object has no members. */
void result_members(struct jsonw *w, struct span bundle);

#endif
