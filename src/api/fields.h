/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fields.h - which fields of a body and parameters of a query each route knows, and what becomes of
 * the others. A misspelled field, or one that belongs to another route, is refused: a client that
 * is told nothing believes that it worked. Any other passes and is named in the answer's header
 * X-Corral-Ignored and in the log, unless the option unknown-fields refuses it, too.
 *
 * The table is made of openapi.json by scripts/fields.py, so that a field is known when it is
 * documented.
 */
#ifndef CORRAL_API_FIELDS_H
#define CORRAL_API_FIELDS_H

#include "api/api.h"

struct api_fields {
    enum http_method method;
    const char *path;                       /* "/v1/agents/sandboxes/{id}" */
    const char *const *body, *const *query; /* names, NULL-terminated */
};

extern const struct api_fields api_fields[];
extern const size_t api_fields_count;

/* Finds the lists of each route. Once, before the first request. */
void api_fields_init(void);
/* Looks at the names in the query; at those in the body, which is parsed. 0, or
 * ERROR_INVALID_ARGUMENT that names the field and the one that is probably meant. */
int api_fields_check_query(struct api_call *call, struct error *err);
int api_fields_check_body(struct api_call *call, struct error *err);

/* Whether two names differ by at most two letters, in short ones by one: one that is missing, too
 * many, another, or swapped with its neighbour. Case counts. Pure. */
bool api_fields_near(const char *a, size_t len, const char *b);

#endif
