/* SPDX-License-Identifier: Apache-2.0 */
/*
 * result.h - the data of a result under the names that clients of streams know: "text" for
 * text/plain, "png" for image/png, and so on.
 */
#ifndef CORRAL_STREAM_RESULT_H
#define CORRAL_STREAM_RESULT_H

#include "base/json.h"
#include "base/jsonw.h"

/* Writes the members of the object at hand, one for each type of data that has such a name. `data`
 * is the object that the bundle is, NULL: the sandbox sent none. */
void result_members(struct jsonw *w, const json *data);
/* Writes all other types as one member, "extra", when there are any. */
void result_extra(struct jsonw *w, const json *data);

#endif
