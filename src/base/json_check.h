/* SPDX-License-Identifier: Apache-2.0 */
/* json_check.h - whether a text is JSON as RFC 8259 defines it. json.c asks this
 * first, because the parser behind it accepts more than JSON. */
#ifndef CORRAL_BASE_JSON_CHECK_H
#define CORRAL_BASE_JSON_CHECK_H

#include <stdbool.h>

#include "base/base.h"

#define JSON_CHECK_MAX_DEPTH 64

/* NULL, or what is wrong, as a clause ("a string is not closed") with the offset in *ret_at. The
 * text must be UTF-8. An escaped NUL is refused unless `nul`: C strings would end at it. */
const char *json_check(const uint8_t *s, size_t len, bool nul, size_t *ret_at);
/* The same for a text of at most `most` values, counted with the names of members: what a parser
 * makes of a text takes memory and time by their number, not by its bytes. */
const char *json_check_most(const uint8_t *s, size_t len, bool nul, size_t most, size_t *ret_at);

#endif
