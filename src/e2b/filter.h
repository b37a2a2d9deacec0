/* SPDX-License-Identifier: Apache-2.0 */
/* filter.h - which sandboxes a list has: by pairs of metadata, by state, behind a page. Pure. */
#ifndef CORRAL_E2B_FILTER_H
#define CORRAL_E2B_FILTER_H

#include "base/json.h"

/* The value of `metadata` after the query's own decoding: a form whose names and values are
 * percent-encoded once more. An object of strings, owned by the caller. NULL: it is broken, or out
 * of memory. */
json *e2b_filter_parse(const char *form);
/* Whether the object that is text has every pair of `pairs` (NULL: none are wanted). */
bool e2b_filter_matches(const json *pairs, const char *metadata);
/* Whether `states` of a list, with commas between them (NULL: any), has `state`. */
bool e2b_filter_state(const char *states, const char *state);

#endif
