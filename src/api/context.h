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
/* Asks for a new context with a new id. */
void api_context_request(struct buf *request, const char *language, const char *cwd);

#endif
