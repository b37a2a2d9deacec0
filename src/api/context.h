/* SPDX-License-Identifier: Apache-2.0 */
/* context.h - what clients call the contexts of a sandbox, for all that speak of them. */
#ifndef CORRAL_API_CONTEXT_H
#define CORRAL_API_CONTEXT_H

#include "api/api.h"
#include "wire/reply.h"

/* An id, or the default context of a language. */
struct api_context_name {
    const char *id, *language;
};

/* What a client's `id` names; the strings are of `id`. 0, or -EINVAL with `err` filled. */
int api_context_parse(const char *id, struct api_context_name *ret, struct error *err);
/* What clients call it; that of a default context is made of its language. */
void api_context_id(struct buf *out, const struct wire_context *context);
/* Makes the context that the request's body asks for, and gives the agent's answer to `answer`. */
struct ask_params;
void api_context_make(struct api_call *call, const struct ask_params *answer);

#endif
