/* SPDX-License-Identifier: Apache-2.0 */
/* body.h - how long the body of a route may be, and its JSON. */
#ifndef CORRAL_API_BODY_H
#define CORRAL_API_BODY_H

#include "api/api.h"

#define API_PARSE_AT_ONCE 262144 /* bytes of JSON parsed on the loop: some 10 ms at worst */

/* Most bytes of a buffered body. */
size_t api_body_limit(const struct api_call *call);
/* Parses the body, which must be an object, into call->body and calls `then`, now or later. A fault
 * is answered. */
void api_parse_body(struct api_call *call, void (*then)(struct api_call *call));

#endif
